//! What the scenarios share: a server process, a client of `segue.v2`, pictures, profiles to edit, installations.
//!
//! Nothing here knows the server's types: the client is written from the protocol alone.

mod client;
mod file_server;
mod lab;
mod live;
mod pictures;
mod profiles;
mod server;

pub use client::{Client, Decoded, Event, FrameFields};
pub use file_server::{FileServer, Hosted};
pub use lab::{Lab, built};
pub use live::{Flow, Live};
pub use pictures::{clip_frames, gradient_jpeg, jpeg, test_data};
pub use profiles::Profiles;
pub use server::{Server, program, segue};
