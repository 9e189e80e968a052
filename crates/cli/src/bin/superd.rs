//! `superd`: see the library.

fn main() {
    std::process::exit(supers::superd::main(std::env::args_os().collect()));
}
