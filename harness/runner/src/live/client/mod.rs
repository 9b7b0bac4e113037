//! Clients under test: a process drives a client library by the adapter protocol. The harness acts
//! as its server on real sockets, or the reference broker serves.
//!
//! - [`protocol`]: the lines
//! - [`properties`]: the properties of packets in lines
//! - [`process`]: a process, its pipes and its end; [`pool`]: the processes that are idle
//! - [`peer`]: converts commands of the application to lines, and lines to events
//! - [`backend`]: one run; [`ports`]: where the clients connect; [`power`]: the processes of a run
//! - [`fast_clock`]: clients whose clock runs faster than real time
//! - [`session`]: all cases, and the reruns before a failure counts
//! - [`silent`]: the events that a library never reports
//! - [`target_file`]: the file that names an adapter
//! - [`reference`]: the reference client as an adapter

mod backend;
mod fast_clock;
pub(crate) mod peer;
mod pool;
mod ports;
mod power;
mod process;
pub(crate) mod properties;
pub(crate) mod protocol;
mod reference;
mod session;
mod silent;
mod target_file;

pub use self::process::AdapterError;
pub use self::reference::run as run_reference_adapter;
pub use self::session::{Check, ClientError, ClientOptions, JOBS, check_adapter, run_client};
pub use self::target_file::{ClientTargetError, ClientTargetFile};
