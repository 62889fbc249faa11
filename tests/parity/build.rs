//! The benchmark of networks has several plugins in one program, and each exports the same symbol; none is called.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-link-arg-benches=-Wl,-z,muldefs");
    }
}
