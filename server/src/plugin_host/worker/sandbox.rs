//! What the kernel keeps a worker from: a plugin is somebody's binary, and it needs a model, frames and a processor.

use landlock::{ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

/// Confines this process for good; what came of it, for people. A kernel that lacks a part leaves that part open.
pub(in crate::plugin_host) fn confine(memory_len_bytes: u64) -> String {
    let shown = |what: &str, result: Result<(), String>| match result {
        Ok(()) => what.to_owned(),
        Err(reason) => format!("not {what} ({reason})"),
    };
    [
        shown("bounded memory", bound_memory(memory_len_bytes)),
        shown("read-only files", read_only_files()),
        shown("no network", no_network()),
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

/// Sockets of the Internet, and reaching into other processes, are refused.
fn no_network() -> Result<(), String> {
    let filter = || -> Result<BpfProgram, Box<dyn std::error::Error>> {
        let families = [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET, libc::AF_VSOCK];
        let refused = families.map(|family| {
            let is_family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family as u64)?;
            SeccompRule::new(vec![is_family])
        });
        let sockets = refused.into_iter().collect::<Result<Vec<_>, _>>()?;
        let rules = [
            (libc::SYS_socket, sockets),
            (libc::SYS_ptrace, Vec::new()),
            (libc::SYS_process_vm_readv, Vec::new()),
            (libc::SYS_process_vm_writev, Vec::new()),
        ];
        let (otherwise, refused) = (SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32));
        let target: TargetArch = std::env::consts::ARCH.try_into()?;
        Ok(SeccompFilter::new(rules.into_iter().collect(), otherwise, refused, target)?.try_into()?)
    };
    let program = filter().map_err(|error| error.to_string())?;
    apply_filter_all_threads(&program).map_err(|error| error.to_string())
}
