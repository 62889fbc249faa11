//! What the kernel keeps a worker from: a plugin is somebody's binary, and it needs a model, frames and a processor.

use landlock::{ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

/// Confines this process for good; what came of it, for people. A kernel that lacks a part leaves that part open.
pub(in crate::plugin_host) fn confine(memory_len_bytes: u64, needs_network: bool) -> String {
    let shown = |what: &str, result: Result<(), String>| match result {
        Ok(()) => what.to_owned(),
        Err(reason) => format!("not {what} ({reason})"),
    };
    [
        shown("bounded memory", bound_memory(memory_len_bytes)),
        shown("read-only files", read_only_files()),
        if needs_network { "network".to_owned() } else { shown("no network", no_network()) },
        shown("no other process's memory", no_foreign_memory()),
        shown("no other processes", no_processes()),
    ]
    .join(", ")
}

/// Memory of its own, which frames are not; and no core files, which hold frames.
fn bound_memory(len_bytes: u64) -> Result<(), String> {
    let bound = |resource, most| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(|error| error.to_string())
    };
    bound(Resource::Core, 0)?;
    bound(Resource::Data, len_bytes)
}

/// Files can be read; only devices, which accelerators need, can be written to.
fn read_only_files() -> Result<(), String> {
    let abi = ABI::V5;
    let rule = |path: &str, access| PathFd::new(path).map(|path| PathBeneath::new(path, access));
    let confine = || -> Result<RulesetStatus, Box<dyn std::error::Error>> {
        let rules = Ruleset::default().handle_access(AccessFs::from_all(abi))?.create()?;
        let rules = rules.add_rule(rule("/", AccessFs::from_read(abi))?)?;
        let rules = rules.add_rule(rule("/dev", AccessFs::from_all(abi))?)?;
        Ok(rules.restrict_self()?.ruleset)
    };
    match confine() {
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no landlock".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

type Rules = Vec<(i64, Vec<SeccompRule>)>;

/// Refuses the calls that match one of `rules` with `errno`.
fn refuse(errno: i32, rules: Rules) -> Result<(), Box<dyn std::error::Error>> {
    let (otherwise, refused) = (SeccompAction::Allow, SeccompAction::Errno(errno.cast_unsigned()));
    let target: TargetArch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram =
        SeccompFilter::new(rules.into_iter().collect(), otherwise, refused, target)?.try_into()?;
    Ok(apply_filter_all_threads(&program)?)
}

/// Calls whose argument number `at` matches `op` `value`.
fn when(at: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(at, SeccompCmpArgLen::Dword, op, value)?])
}

/// Starting processes, leaving the group that is ended as a whole, and signals to anybody else are refused: a plugin that
/// signals its parent would end the server.
fn no_processes() -> Result<(), String> {
    let refuse_all = || -> Result<(), Box<dyn std::error::Error>> {
        let others = || Ok::<_, seccompiler::BackendError>(vec![when(0, SeccompCmpOp::Ne, std::process::id().into())?]);
        let thread = libc::CLONE_THREAD as u64;
        let mut rules = vec![
            (libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), 0)?]),
            (libc::SYS_kill, others()?),
            (libc::SYS_tgkill, others()?),
            (libc::SYS_rt_sigqueueinfo, others()?),
            (libc::SYS_rt_tgsigqueueinfo, others()?),
            (libc::SYS_tkill, Vec::new()),
            (libc::SYS_pidfd_send_signal, Vec::new()),
            (libc::SYS_setsid, Vec::new()),
            (libc::SYS_setpgid, Vec::new()),
        ];
        #[cfg(target_arch = "x86_64")]
        rules.extend([(libc::SYS_fork, Vec::new()), (libc::SYS_vfork, Vec::new())]);
        refuse(libc::EPERM, rules)?;
        // What it starts can't be seen from here; without it, libraries use `clone`.
        refuse(libc::ENOSYS, vec![(libc::SYS_clone3, Vec::new())])
    };
    refuse_all().map_err(|error| error.to_string())
}

/// Sockets of the Internet are refused.
fn no_network() -> Result<(), String> {
    let refuse_all = || -> Result<(), Box<dyn std::error::Error>> {
        let families = [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET, libc::AF_VSOCK];
        let sockets = families.map(|family| when(0, SeccompCmpOp::Eq, family as u64));
        let sockets = sockets.into_iter().collect::<Result<Vec<_>, _>>()?;
        refuse(libc::EPERM, vec![(libc::SYS_socket, sockets)])
    };
    refuse_all().map_err(|error| error.to_string())
}

/// Reaching into other processes is refused.
fn no_foreign_memory() -> Result<(), String> {
    let calls = [libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];
    refuse(libc::EPERM, calls.map(|call| (call, Vec::new())).into()).map_err(|error| error.to_string())
}
