//! Says in one sentence what is missing, before the linker says it in many.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_ZEROMQ").is_none() {
        return;
    }
    let mut libzmq = pkg_config::Config::new();
    if libzmq.cargo_metadata(false).atleast_version("4.3").probe("libzmq").is_err() {
        println!(
            "cargo::error=the feature `zeromq` needs libzmq 4.3 or later: apt-get install libzmq3-dev pkg-config \
             (dnf install zeromq-devel pkgconf-pkg-config), or build with --no-default-features --features rabbitmq"
        );
    }
}
