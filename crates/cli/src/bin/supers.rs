//! `supers`: see the library.

fn main() {
    std::process::exit(supers::supers::main(std::env::args_os()));
}
