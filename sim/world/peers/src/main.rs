//! `cargo run -- SEED…` runs the client with each seed and prints the result; `-v` also prints the
//! history.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let verbose = arguments.iter().any(|argument| argument == "-v");
    let seeds: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    for seed in if seeds.is_empty() { vec![1] } else { seeds } {
        let outcome = mqttspec_world_peers::run(seed);
        if verbose {
            println!("{}", outcome.trace);
        }
        println!(
            "seed {seed}: {} of {} messages, history {:032x}",
            outcome.output.len(),
            mqttspec_world_peers::MESSAGES,
            outcome.trace.hash
        );
    }
}
