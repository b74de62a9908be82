//! Runs a component that was rewritten to show what of it runs: it exports functions that give lists of bytes in its own
//! memory, and those are read from outside, also after the module has trapped.
//!
//! The rewriting is not here, nor what the bytes mean.

use wasmtime::{
    Store,
    component::{Instance, WasmList},
};

use crate::policy::{
    bindings::{self, Module as Exports, ModulePre as ExportsPre, wit},
    host::Host,
    limits::{self, Account, Failure, Limits},
    module::{self, LoadError},
    request::Request,
};

/// A rewritten component, compiled.
pub struct Marked {
    exports: ExportsPre<Account>,
    lists: Vec<String>,
    limits: Limits,
}

/// One instance of it. After a failure it can only be read.
pub struct Run<'a> {
    host: &'a Host,
    store: Store<Account>,
    exports: Exports,
    needs: wit::Needs,
    lists: Vec<WasmList<u8>>,
}

impl Marked {
    /// Compiles `bytes`, a component that exports a function `func() -> list<u8>` of each name in `lists`. Its instances run
    /// within `limits`.
    ///
    /// # Errors
    ///
    /// It is invalid.
    pub fn new(host: &Host, bytes: &[u8], lists: Vec<String>, limits: Limits) -> Result<Marked, LoadError> {
        let component = host.compile(bytes, &Default::default(), &[]);
        let component = component.map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
        Ok(Marked { exports: module::exports_of(host, &component)?, lists, limits })
    }

    /// Starts an instance.
    ///
    /// # Errors
    ///
    /// It exports something else than it should, or does not start.
    pub fn start<'a>(&self, host: &'a Host) -> Result<Run<'a>, LoadError> {
        let (mut store, instance, exports) = module::instantiate(host, &self.exports, self.limits)?;
        // The lists lie in the instance's memory: no limit of what a module may answer holds for them.
        store.set_hostcall_fuel(usize::MAX);
        let mut lists = Vec::with_capacity(self.lists.len());
        for name in &self.lists {
            let list = list(&mut store, &instance, name);
            lists.push(list.map_err(|error| LoadError::Invalid(format!("{name}: {error:#}")))?);
        }
        store.set_hostcall_fuel(self.limits.result_bytes);
        Ok(Run { host, store, exports, needs: wit::Needs::empty(), lists })
    }
}

impl Run<'_> {
    /// Configures the instance.
    ///
    /// # Errors
    ///
    /// It refuses the settings, or the call does not end as it should.
    pub fn configure(&mut self, settings: &serde_json::Value) -> Result<(), LoadError> {
        self.needs = module::call_configure(self.host, &mut self.store, &self.exports, &settings.to_string())?;
        Ok(())
    }

    /// Asks the instance. What it answers does not matter here.
    ///
    /// # Errors
    ///
    /// The call does not end as it should.
    pub fn ask(&mut self, request: &Request) -> Result<(), Failure> {
        let time = self.store.data().limits().decision_time;
        limits::set_time(&mut self.store, time);
        let _running = self.host.ticker.running();
        let (store, exports) = (&mut self.store, &self.exports);
        let answer = bindings::with_request(request, self.needs, |request| {
            exports.landfall_policy_policy().call_authorize(&mut *store, request)
        });
        answer.map(drop).map_err(|error| limits::failure(&error, &self.store))
    }

    /// The lists as they are now, in the order of their names.
    pub fn lists(&self) -> impl Iterator<Item = &[u8]> {
        self.lists.iter().map(|list| list.as_le_slice(&self.store))
    }
}

fn list(store: &mut Store<Account>, instance: &Instance, name: &str) -> wasmtime::Result<WasmList<u8>> {
    let missing = || wasmtime::Error::msg("there is no such export");
    let function = instance.get_export_index(&mut *store, None, name).ok_or_else(missing)?;
    let function = instance.get_typed_func::<(), (WasmList<u8>,)>(&mut *store, function)?;
    Ok(function.call(store, ())?.0)
}
