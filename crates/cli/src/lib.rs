//! The two programs: `superd`, the daemon, and `supers`, the command line. Both are small mains over
//! this library, so one executable can answer to all names.
#![forbid(unsafe_code)]

pub mod echo_conf;
pub mod elsewhere;
pub mod pidproxy;
pub mod superd;
pub mod supers;
pub mod supervisorctl;
pub mod supervisord;
pub mod world;
