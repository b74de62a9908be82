//! One configured instance that is asked again and again: for tools that try many settings and ask little of each.
//!
//! Configuring without a snapshot is quicker than a thousand decisions, where compiling a snapshot takes longer. What the
//! module keeps between decisions is seen here, unlike in the controller: ask in the same order where that may not matter.

use std::sync::Arc;

use wasmtime::Store;

use crate::policy::{
    bindings::{self, Module as Exports, ModulePre as ExportsPre, wit},
    codes::Codes,
    decision::{CODE_MODULE_FAILED, Denial},
    host::Host,
    limits::{self, Account, Failure, Limits},
    module::{self, LoadError, Prepared},
    request::Request,
};

/// A module that was configured.
pub struct Session<'a> {
    host: &'a Host,
    exports: ExportsPre<Account>,
    settings: String,
    needs: wit::Needs,
    codes: Arc<Codes>,
    /// After a failure the instance is in no known state, and is dropped.
    instance: Option<(Store<Account>, Exports)>,
}

impl<'a> Session<'a> {
    /// Configures an instance of `prepared`, within the limits that hold where none are configured.
    ///
    /// # Errors
    ///
    /// It exports something else, refuses the settings, or `configure` does not end as it should.
    pub fn start(host: &'a Host, prepared: &Prepared, settings: &serde_json::Value) -> Result<Session<'a>, LoadError> {
        let exports = module::exports_of(host, prepared.component())?;
        let settings = settings.to_string();
        let (mut store, _, running) = module::instantiate(host, &exports, Limits::default())?;
        let needs = module::call_configure(host, &mut store, &running, &settings)?;
        let codes = Arc::clone(prepared.codes());
        Ok(Session { host, exports, settings, needs, codes, instance: Some((store, running)) })
    }

    /// The module is given the pod.
    pub fn needs_pod(&self) -> bool {
        self.needs.contains(wit::Needs::POD)
    }

    /// Asks the instance, as a module of that name. `None` is no objection.
    ///
    /// # Errors
    ///
    /// The call does not end as it should. The next question is put to a new instance.
    pub fn ask(&mut self, name: &str, request: &Request) -> Result<Option<Denial>, Failure> {
        let (mut store, exports) = match self.instance.take() {
            Some(instance) => instance,
            None => self.again()?,
        };
        let time = store.data().limits().decision_time;
        limits::set_time(&mut store, time);
        let _running = self.host.ticker.running();
        let answer = bindings::with_request(request, self.needs, |request| {
            exports.landfall_policy_policy().call_authorize(&mut store, request)
        });
        let decision = answer.map_err(|error| limits::failure(&error, &store))?;
        self.instance = Some((store, exports));
        let denial = bindings::denial(name, decision)?;
        Ok(if self.needs_pod() { denial.map(|denial| module::with_own_code(denial, &self.codes)) } else { denial })
    }

    /// Another instance with the same settings.
    fn again(&self) -> Result<(Store<Account>, Exports), Failure> {
        let failed = |error: LoadError| Failure { code: CODE_MODULE_FAILED, message: error.to_string() };
        let (mut store, _, exports) =
            module::instantiate(self.host, &self.exports, Limits::default()).map_err(failed)?;
        module::call_configure(self.host, &mut store, &exports, &self.settings).map_err(failed)?;
        Ok((store, exports))
    }
}
