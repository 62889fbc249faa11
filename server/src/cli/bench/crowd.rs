//! Who else is at the server while it is measured: clients that are idle, slow, greedy or hostile, and those that come and go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clap::Args;
use futures_util::SinkExt;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    hostile::attack,
    live::{Client, Target, answered, connect, frame, greeted},
};
use crate::cli::Failure;

/// A greedy client sends so many times the frames that the server asks for.
const GREED: u32 = 10;

/// A client that was disconnected comes back after that.
const REST: Duration = Duration::from_secs(1);

/// A session that comes for one frame takes no longer, or something is wrong.
const SHORT_VISIT: Duration = Duration::from_secs(10);

/// Who else is there.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who else is there, besides the clients that are measured")]
pub(super) struct Crowd {
    /// Sessions that are open and send nothing; how much of the server's memory one takes is told
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) idle: u32,
    /// Clients that send frames and never read
    #[arg(long, value_name = "N", default_value_t = 0)]
    slow_readers: u32,
    /// Clients that send ten times the frames that the server asks for, whatever its limits
    #[arg(long, value_name = "N", default_value_t = 0)]
    greedy: u32,
    /// Clients that break HTTP, WebSocket, JPEG and the protocol, in one way after the other
    #[arg(long, value_name = "N", default_value_t = 0)]
    hostile: u32,
    /// Sessions a minute that are opened, used for one frame and closed
    #[arg(long, value_name = "N", default_value_t = 0)]
    connects: u32,
}

/// What became of them.
#[derive(Clone, Default, Serialize)]
pub(super) struct Told {
    /// How often a client that never reads was disconnected.
    pub(super) slow_readers_ended: u64,
    pub(super) attacks: u64,
    pub(super) visits: u64,
    /// Of these, the ones that did not get what they came for: how many, by what they were told.
    pub(super) failed_visits: BTreeMap<String, u64>,
}

impl std::ops::AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.slow_readers_ended += other.slow_readers_ended;
        self.attacks += other.attacks;
        self.visits += other.visits;
        for (reason, count) in other.failed_visits {
            *self.failed_visits.entry(reason).or_default() += count;
        }
    }
}

/// What everybody in it needs.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) target: Target,
    pub(super) pictures: Arc<[Vec<u8>]>,
    /// From one frame to the next, as the server asks for it.
    pub(super) interval: Duration,
    pub(super) mode: Option<String>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Crowd {
    /// Opens the idle sessions. They last until `around.stop` turns true.
    pub(super) async fn sit_down(&self, around: &Surroundings) -> Result<JoinSet<()>, Failure> {
        let mut sessions = JoinSet::new();
        for _ in 0..self.idle {
            let (mut socket, _hello) = greeted(&around.target).await?;
            let mut stop = around.stop.clone();
            sessions.spawn(async move {
                // Its pings are answered, which is all that an idle client does.
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = async { while answered(&mut socket).await {} } => {}
                }
            });
        }
        Ok(sessions)
    }

    /// All others begin. They go on until `around.stop` turns true.
    pub(super) fn begin(&self, around: &Surroundings) -> JoinSet<Told> {
        let mut crowd = JoinSet::new();
        for _ in 0..self.greedy {
            crowd.spawn(be_greedy(around.clone()));
        }
        for _ in 0..self.slow_readers {
            crowd.spawn(until_stopped(around.clone(), async |around, told| {
                never_read(around).await;
                told.slow_readers_ended += 1;
                sleep(REST).await;
            }));
        }
        for number in 0..self.hostile {
            let mut kind = number;
            crowd.spawn(until_stopped(around.clone(), async move |around, told| {
                // It is the server's business to end it.
                let _ = attack(kind, &around.target, &around.pictures[0]).await;
                told.attacks += 1;
                kind += 1;
            }));
        }
        if self.connects > 0 {
            crowd.spawn(come_and_go(around.clone(), Duration::from_secs(60) / self.connects));
        }
        crowd
    }
}

/// Does `once` again and again.
async fn until_stopped(around: Surroundings, mut once: impl AsyncFnMut(&Surroundings, &mut Told)) -> Told {
    let (mut told, mut stop) = (Told::default(), around.stop.clone());
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return told,
            () = once(&around, &mut told) => {}
        }
    }
}

async fn be_greedy(around: Surroundings) -> Told {
    let Surroundings { target, pictures, interval, mode, stop } = around;
    let client = Client { target, pictures, pace: interval / GREED, mode, keeps_limits: false, comes_back: true };
    // What it gets is not measured.
    let _ = client.run(stop, |_heard| {}).await;
    Told::default()
}

async fn never_read(around: &Surroundings) {
    let Ok(mut socket) = connect(&around.target).await else { return };
    let mut ticks = interval(around.interval);
    for number in 0.. {
        ticks.tick().await;
        let picture = &around.pictures[number as usize % around.pictures.len()];
        if socket.send(frame(number, picture)).await.is_err() {
            return;
        }
    }
}

async fn come_and_go(mut around: Surroundings, period: Duration) -> Told {
    let (mut told, mut visits) = (Told::default(), JoinSet::new());
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = around.stop.wait_for(|stop| *stop) => break,
            _ = ticks.tick() => {
                let (target, pictures) = (around.target.clone(), Arc::clone(&around.pictures));
                visits.spawn(async move { timeout(SHORT_VISIT, visit(&target, &pictures[0])).await });
            }
            Some(visit) = visits.join_next() => told.count(&visit),
        }
    }
    while let Some(visit) = visits.join_next().await {
        told.count(&visit);
    }
    told
}

type Visit = Result<Result<Result<(), Failure>, tokio::time::error::Elapsed>, tokio::task::JoinError>;

impl Told {
    fn count(&mut self, visit: &Visit) {
        self.visits += 1;
        let reason = match visit {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(failure))) => failure.message.clone(),
            Ok(Err(_)) => format!("no answer in {} s", SHORT_VISIT.as_secs()),
            Err(failure) => failure.to_string(),
        };
        *self.failed_visits.entry(reason).or_default() += 1;
    }
}

/// A session for one frame.
async fn visit(target: &Target, picture: &[u8]) -> Result<(), Failure> {
    let mut socket = connect(target).await?;
    socket.send(frame(0, picture)).await.map_err(Failure::does_not_hold)?;
    // Its result, or that it was dropped, is the end of it.
    while let Some(message) = futures_util::StreamExt::next(&mut socket).await {
        match message.map_err(Failure::does_not_hold)? {
            Message::Binary(_) => break,
            Message::Text(text) if text.contains("\"dropped\"") => break,
            _ => {}
        }
    }
    socket.close(None).await.map_err(Failure::does_not_hold)
}
