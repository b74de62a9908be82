//! A configured instance, frozen: the component is rewritten so that its memory starts as `configure` left it.
//!
//! `wasmtime-wizer` does the rewriting. Its own glue to wasmtime would switch on features that the host leaves out, so the
//! glue stands here. Components that it can't read (nested ones, as some JavaScript tools make) are configured for each decision.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;
use wasmtime::{
    AsContextMut, Store,
    component::{Instance, Lift, WasmList},
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::policy::limits::Account;

/// The component with exports through which its memory can be read.
///
/// # Errors
///
/// Why it can't be snapshotted.
pub fn instrument(component: &[u8]) -> Result<Vec<u8>, String> {
    guarded(|| {
        let (_, instrumented) = Wizer::new().instrument_component(component).map_err(|error| format!("{error:#}"))?;
        Ok(instrumented)
    })
}

/// The component with the memory of `instance`, which is one of the instrumented component.
///
/// # Errors
///
/// Why it can't be snapshotted.
pub fn take(component: &[u8], store: &mut Store<Account>, instance: Instance) -> Result<Vec<u8>, String> {
    guarded(|| {
        let wizer = Wizer::new();
        let (context, _) = wizer.instrument_component(component).map_err(|error| format!("{error:#}"))?;
        wizer
            .snapshot_component(&context, &mut Access { store, instance, memories: Vec::new() })
            .now_or_never()
            .ok_or("the snapshot did not end at once")?
            .map_err(|error| format!("{error:#}"))
    })
}

/// Where the memories of `instance`, one of the instrumented component, are: they can be read as long as its store is there.
///
/// # Errors
///
/// Why they can't be found.
pub fn memories(component: &[u8], store: &mut Store<Account>, instance: Instance) -> Result<Vec<WasmList<u8>>, String> {
    guarded(|| {
        let wizer = Wizer::new();
        let (context, _) = wizer.instrument_component(component).map_err(|error| format!("{error:#}"))?;
        let mut access = Access { store, instance, memories: Vec::new() };
        // What it is made for is not wanted here: on the way it asks for each memory.
        wizer
            .snapshot_component(&context, &mut access)
            .now_or_never()
            .ok_or("the snapshot did not end at once")?
            .map_err(|error| format!("{error:#}"))?;
        Ok(access.memories)
    })
}

/// The rewriting panics on some components that it wasn't made for. A module's bytes may not end the controller: such a
/// component is one that can't be snapshotted.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => Err("the component is of a form that can't be rewritten".to_owned()),
    }
}

/// Reads an instance's state through the exports that the instrumentation added.
struct Access<'a> {
    store: &'a mut Store<Account>,
    instance: Instance,
    memories: Vec<WasmList<u8>>,
}

impl Access<'_> {
    fn call<T: Lift + Send + Sync + 'static>(&mut self, interface: &str, name: &str) -> T {
        let mut store = self.store.as_context_mut();
        let function = self
            .instance
            .get_export_index(&mut store, None, interface)
            .and_then(|interface| self.instance.get_export_index(&mut store, Some(&interface), name))
            .expect("the instrumentation exports it");
        let function =
            self.instance.get_typed_func::<(), (T,)>(&mut store, function).expect("the instrumentation gives its type");
        function.call(&mut store, ()).expect("an accessor only reads").0
    }
}

impl ComponentInstanceState for Access<'_> {
    async fn call_func_ret_list_u8(&mut self, interface: &str, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let list: WasmList<u8> = self.call(interface, name);
        contents(list.as_le_slice(&*self.store));
        self.memories.push(list);
    }

    async fn call_func_ret_s32(&mut self, interface: &str, name: &str) -> i32 {
        self.call(interface, name)
    }

    async fn call_func_ret_s64(&mut self, interface: &str, name: &str) -> i64 {
        self.call(interface, name)
    }

    async fn call_func_ret_f32(&mut self, interface: &str, name: &str) -> u32 {
        self.call::<f32>(interface, name).to_bits()
    }

    async fn call_func_ret_f64(&mut self, interface: &str, name: &str) -> u64 {
        self.call::<f64>(interface, name).to_bits()
    }
}
