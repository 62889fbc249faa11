//! The server as a service: what it tells a service manager, the socket that it is handed, the reports that it leaves.

use std::{
    fs,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Event, Lab, Server, gradient_jpeg, segue};

#[test]
fn the_service_manager_is_told_of_the_start_of_each_second_and_of_the_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut command = segue(&["serve", "--listen", "127.0.0.1:0"]);
    let server = Server::start_command(command.env("NOTIFY_SOCKET", &path))?;
    let hear = |wanted: &str| -> Result<()> {
        let mut told = [0; 1024];
        loop {
            let len = manager.recv(&mut told).with_context(|| format!("no {wanted}"))?;
            if String::from_utf8_lossy(&told[..len]).contains(wanted) {
                return Ok(());
            }
        }
    };
    hear("READY=1")?;
    hear("WATCHDOG=1")?;
    hear("WATCHDOG=1")?;
    server.signal("TERM")?;
    hear("STOPPING=1")
}

/// Starts the server on `listener`, as a service manager hands it over.
fn start_on(listener: &TcpListener) -> Result<Server> {
    let handed = OwnedFd::from(listener.try_clone()?);
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let program = segue(&["serve", "--listen", "127.0.0.1:1"]);
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(program.get_current_dir().context("no folder")?);
    Server::start_command(command.stdin(Stdio::from(handed)))
}

#[tokio::test]
async fn who_comes_while_the_server_is_started_again_waits_and_is_served() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let first = start_on(&listener)?;
    assert_eq!(first.address(), address);
    first.signal("KILL")?;
    first.wait()?;
    let waiting = tokio::spawn({
        let address = address.clone();
        async move { Client::connect(&address).await }
    });
    // It has connected before there is anybody who could answer.
    tokio::task::yield_now().await;
    let _second = start_on(&listener)?;
    let mut client = waiting.await??;
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;
    Ok(())
}

#[tokio::test]
async fn a_workers_end_leaves_a_report_without_any_picture() -> Result<()> {
    let lab = Lab::beside_the_default("")?;
    let reports = lab.path("reports");
    let set = format!("telemetry.crash_folder=\"{}\"", reports.display());
    let server = lab.serve_with(&["--set", &set, "--set", "server.default_mode=lab"])?;
    let mut client = Client::connect(server.address()).await?;
    client.frame(1, &gradient_jpeg(105, 64)?).await?;
    ensure!(matches!(client.answer().await?, Event::Text(_)), "a result of a worker that crashed");
    server.log_until("Crash report written")?;
    let files: Vec<_> = fs::read_dir(reports.join("crashes"))?.collect::<Result<_, _>>()?;
    let report = fs::read_to_string(files.first().context("no report")?.path())?;
    ensure!(report.contains("mode: lab") && report.contains("SIGSEGV"), "{report}");
    ensure!(report.len() < 4096, "it holds more than words: {} bytes", report.len());
    Ok(())
}
