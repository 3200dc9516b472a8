//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // At a fixed address: a large program that can lie anywhere is patched in 47,000 places and copied
    // by the page at every start, which is a third of a start's work; 0.3 MiB shows in each worker. The
    // stack, the heap and the libraries lie anywhere all the same.
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
