//! What must hold for a thousand queries in one chain.

use super::*;

#[test]
#[expect(clippy::disallowed_methods, reason = "the time is shown, not tested")]
fn a_thousand_queries_share_what_does_not_hang_on_the_query() {
    let input = flights();
    let started = std::time::Instant::now();
    let count = 1000;
    let mut rows = 0;
    for _ in 0..count {
        let query = "SELECT carrier, dep_delay + 1 AS dep_delay, distance, \"Tail\" FROM flights WHERE dep_delay > 2";
        rows += run(query, &[input.clone()]).rows.len();
    }
    assert_eq!(rows, 3 * count);
    // Printed for a person; nothing hangs on the clock.
    let _shown =
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{count} queries: {:?}\n", started.elapsed()));
}
