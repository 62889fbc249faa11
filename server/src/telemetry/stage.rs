//! The stages of a frame's way, from the camera to the screen.

/// One stage. A frame that ends early has only the first of them, and a client that tells no times has no stages of
/// its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Stage {
    /// The picture waits in the browser until it is encoded.
    BrowserCapture,
    /// From pixels to JPEG, in the browser.
    BrowserEncode,
    /// The JPEG waits until it is handed to the socket.
    BrowserSend,
    /// On its way to the server.
    Uplink,
    /// From the socket to the session's slot.
    Receive,
    /// In the slot: waiting for its turn.
    Queue,
    /// From bytes to pixels.
    Decode,
    /// From pixels to the network's input.
    Preprocess,
    /// The network.
    Infer,
    /// From scores to the mask.
    Postprocess,
    /// What the call of the backend took beyond its three stages.
    Call,
    /// From the mask to bytes.
    Encode,
    /// The result waits until the socket has taken it.
    Send,
    /// On its way to the browser.
    Downlink,
    /// The result waits in the browser until it is decoded.
    BrowserReceive,
    /// From bytes to a mask, in the browser.
    BrowserDecode,
    /// The mask waits until the screen is painted.
    BrowserPaint,
}

/// Where a stage takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In the client.
    Browser,
    /// Between client and server.
    Network,
    /// In the server.
    Server,
    /// In the backend.
    Plugin,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 17;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::BrowserCapture,
        Self::BrowserEncode,
        Self::BrowserSend,
        Self::Uplink,
        Self::Receive,
        Self::Queue,
        Self::Decode,
        Self::Preprocess,
        Self::Infer,
        Self::Postprocess,
        Self::Call,
        Self::Encode,
        Self::Send,
        Self::Downlink,
        Self::BrowserReceive,
        Self::BrowserDecode,
        Self::BrowserPaint,
    ];

    /// Those of a result's header, in its order.
    pub const OF_RESULT: [Self; 6] =
        [Self::Queue, Self::Decode, Self::Preprocess, Self::Infer, Self::Postprocess, Self::Encode];

    /// Its name in traces and metrics: the side and the stage.
    pub fn name(self) -> &'static str {
        match self {
            Self::BrowserCapture => "browser.capture",
            Self::BrowserEncode => "browser.encode",
            Self::BrowserSend => "browser.send",
            Self::Uplink => "network.up",
            Self::Receive => "server.receive",
            Self::Queue => "server.queue",
            Self::Decode => "server.decode",
            Self::Preprocess => "plugin.preprocess",
            Self::Infer => "plugin.infer",
            Self::Postprocess => "plugin.postprocess",
            Self::Call => "plugin.other",
            Self::Encode => "server.encode",
            Self::Send => "server.send",
            Self::Downlink => "network.down",
            Self::BrowserReceive => "browser.receive",
            Self::BrowserDecode => "browser.decode",
            Self::BrowserPaint => "browser.paint",
        }
    }

    /// Its name without the side.
    pub fn short_name(self) -> &'static str {
        let name = self.name();
        name.split_once('.').map_or(name, |(_side, stage)| stage)
    }

    /// Where it takes place.
    pub fn side(self) -> Side {
        match self {
            Self::BrowserCapture
            | Self::BrowserEncode
            | Self::BrowserSend
            | Self::BrowserReceive
            | Self::BrowserDecode
            | Self::BrowserPaint => Side::Browser,
            Self::Uplink | Self::Downlink => Side::Network,
            Self::Preprocess | Self::Infer | Self::Postprocess | Self::Call => Side::Plugin,
            Self::Receive | Self::Queue | Self::Decode | Self::Encode | Self::Send => Side::Server,
        }
    }

    /// What it is, to be read in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::BrowserCapture => "waiting in the browser to be encoded",
            Self::BrowserEncode => "encoding in the browser",
            Self::BrowserSend => "waiting in the browser to be sent",
            Self::Uplink => "the network, on the way to the server",
            Self::Receive => "taking the frame off the socket",
            Self::Queue => "waiting for a free instance of the model",
            Self::Decode => "decoding in the server",
            Self::Preprocess => "the backend's preprocessing",
            Self::Infer => "the backend's network",
            Self::Postprocess => "the backend's postprocessing",
            Self::Call => "the call of the backend, outside of its stages",
            Self::Encode => "encoding in the server",
            Self::Send => "waiting until the client takes the result",
            Self::Downlink => "the network, on the way to the browser",
            Self::BrowserReceive => "waiting in the browser to be decoded",
            Self::BrowserDecode => "decoding in the browser",
            Self::BrowserPaint => "waiting for the screen to be painted",
        }
    }
}

impl Side {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Network => "network",
            Self::Server => "server",
            Self::Plugin => "plugin",
        }
    }
}
