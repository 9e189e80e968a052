//! `supers`: see the library.

use supers::supers::deliver;

fn main() {
    let args: Vec<_> = std::env::args_os().collect();
    let code = match deliver::is_meant(&args) {
        true => deliver::main(),
        false => supers::supers::main(args.into_iter()),
    };
    std::process::exit(code);
}
