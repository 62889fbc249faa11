//! What the scenarios share: a server process, clients of both protocols, a collector of traces, pictures, profiles to edit,
//! installations.
//!
//! Nothing here knows the server's types: the client is written from the protocol alone.

mod client;
mod collector;
mod file_server;
mod lab;
mod legacy;
mod live;
mod pictures;
mod profiles;
mod server;
mod viewer;

pub use client::{Client, Decoded, Event, FrameFields};
pub use collector::{Collector, TakenSpan, free_port};
pub use file_server::{FileServer, Hosted};
pub use lab::{Lab, built, model_python};
pub use legacy::{LegacyClient, LegacyFlow, legacy_frame, legacy_picture};
pub use live::{Flow, Live};
pub use pictures::{clip_frames, gradient_jpeg, jpeg, test_data};
pub use profiles::Profiles;
pub use server::{Server, program, segue};
pub use viewer::{Sent, Viewer};
