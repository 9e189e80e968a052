//! `[rpcinterface:x]` and `[ctlplugin:x]`: sections that name Python code. Only the ancestor's own can be
//! meant; for other code it has a sentence, which is ours too, because there is no Python here.

use super::expand::Scope;
use super::fields::Fields;
use crate::fault::Fault;

/// The key that names the code in one kind of section.
pub(crate) struct Factory {
    key: &'static str,
    own: &'static str,
}

/// Of `[rpcinterface:x]`.
pub(crate) const RPC: Factory =
    Factory { key: "supervisor.rpcinterface_factory", own: "supervisor.rpcinterface:make_main_rpcinterface" };

/// Of `[ctlplugin:x]`.
pub(crate) const CTL: Factory =
    Factory { key: "supervisor.ctl_factory", own: "supervisor.supervisorctl:DefaultControllerPlugin" };

/// True when the ancestor's own code is named. What is wrong is noted in `f`, in which nothing was read yet.
pub(crate) fn is_own(f: &mut Fields<'_>, scope: &Scope, factory: &Factory) -> bool {
    let &Factory { key, own } = factory;
    let section = f.section;
    match f.text(key, scope) {
        None if f.faults.is_empty() => {
            let text = format!("section [{}] does not specify a {key}", section.name);
            f.fault(Fault::new(&section.place, text));
        }
        None => {}
        Some(named) if named == own => {
            // Nobody reads the other keys, but the ancestor expands them.
            for entry in section.entries.iter().filter(|e| e.key != key) {
                let _ = f.text(&entry.key, scope);
            }
            return true;
        }
        Some(named) => {
            let text = format!("{named} cannot be resolved within [{}]", section.name);
            f.fault(Fault::new(&f.place(key), text).hint("Python plug-ins cannot be loaded"));
        }
    }
    false
}
