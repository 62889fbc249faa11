//! A session whose frames never stop: what a camera does while an operator edits.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Client, Event, server::PATIENCE};

/// How many texts may wait for a scenario that reads none.
const WAITING_TEXTS: usize = 1024;

/// From an answer to the next frame. No camera is so fast that it takes the cores from all that a scenario looks at.
const NEXT_FRAME: Duration = Duration::from_millis(1);

/// A client in a task of its own. It has as many frames in flight as it may, but for a moment after each answer, and
/// follows what `limits` say of that; every answer is checked.
pub struct Live {
    /// The server's first message.
    pub hello: Value,
    texts: mpsc::Receiver<Value>,
    generation: watch::Receiver<u32>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Flow>>,
}

/// What became of its frames.
#[derive(Debug, Default)]
pub struct Flow {
    /// Frames sent.
    pub sent: u32,
    /// Frames with a result.
    pub answered: u32,
    /// The texts that told of the others.
    pub dropped: Vec<Value>,
    /// Indices of the modes that answered, in the order of their first result.
    pub modes: Vec<u8>,
}

impl Live {
    /// Connects, and starts to send `jpeg` over and over.
    pub async fn start(address: &str, jpeg: Vec<u8>) -> Result<Self> {
        let client = Client::connect(address).await?;
        Ok(Self::of(client, jpeg))
    }

    /// Has `client` send `jpeg` over and over.
    pub fn of(client: Client, jpeg: Vec<u8>) -> Self {
        let hello = client.hello.clone();
        let (sender, texts) = mpsc::channel(WAITING_TEXTS);
        let (answering, generation) = watch::channel(0);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(client, jpeg, sender, answering, stopped));
        Self { hello, texts, generation, stop: Some(stop), task }
    }

    /// The server's next text of `kind`; others in between are passed over.
    pub async fn text_of(&mut self, kind: &str) -> Result<Value> {
        loop {
            match timeout(PATIENCE, self.texts.recv()).await.with_context(|| format!("no {kind:?} came"))? {
                Some(text) if text["type"] == kind => return Ok(text),
                Some(_other) => {}
                None => return Err((&mut self.task).await?.err().context("the session ended")?),
            }
        }
    }

    /// Waits for a result of the configuration `generation`.
    pub async fn answers_under(&mut self, generation: u32) -> Result<()> {
        let answer = self.generation.wait_for(|&now| now >= generation);
        let now =
            *timeout(PATIENCE, answer).await.with_context(|| format!("no result of generation {generation}"))??;
        ensure!(now == generation, "a result of generation {now} and none of {generation}");
        Ok(())
    }

    /// Stops sending, and waits until every frame has its answer.
    pub async fn finish(mut self) -> Result<Flow> {
        // If the task has ended already, it says why.
        let _ = self.stop.take().map(|stop| stop.send(()));
        timeout(PATIENCE, &mut self.task).await.context("frames were left without an answer")??
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut client: Client,
    jpeg: Vec<u8>,
    texts: mpsc::Sender<Value>,
    generation: watch::Sender<u32>,
    mut stop: oneshot::Receiver<()>,
) -> Result<Flow> {
    let mut flow = Flow::default();
    let mut max_in_flight = client.hello["limits"]["max_in_flight"].as_u64();
    let (mut in_flight, mut is_stopping) = (VecDeque::new(), false);
    loop {
        while !is_stopping && (in_flight.len() as u64) < max_in_flight.context("limits without max_in_flight")? {
            client.frame(flow.sent, &jpeg).await?;
            in_flight.push_back(flow.sent);
            flow.sent += 1;
        }
        if is_stopping && in_flight.is_empty() {
            return Ok(flow);
        }
        let event = tokio::select! {
            event = client.next() => event?,
            _ = &mut stop, if !is_stopping => {
                is_stopping = true;
                continue;
            }
        };
        let mut answered = |frame_id: u64| {
            let at = in_flight.iter().position(|&sent| u64::from(sent) == frame_id);
            at.and_then(|at| in_flight.remove(at)).with_context(|| format!("frame {frame_id} is answered twice"))
        };
        match event {
            Event::Result(result) => {
                answered(result.frame_id.into())?;
                let (before, now) = (generation.send_replace(result.generation), result.generation);
                ensure!(before <= now, "a result of generation {now} came after one of {before}");
                flow.answered += 1;
                if !flow.modes.contains(&result.mode) {
                    flow.modes.push(result.mode);
                }
                sleep(NEXT_FRAME).await;
            }
            Event::Text(text) => {
                match text["type"].as_str() {
                    Some("dropped") => {
                        answered(text["frame_id"].as_u64().context("a drop of no frame")?)?;
                        flow.dropped.push(text.clone());
                    }
                    Some("limits") => max_in_flight = text["max_in_flight"].as_u64(),
                    _ => {}
                }
                // A scenario that wants no texts has let go of them.
                let _ = texts.send(text).await;
            }
            Event::Closed(code) => bail!("closed with {code:?}"),
        }
    }
}
