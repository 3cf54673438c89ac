use super::*;

#[test]
fn small_files_come_first_and_those_asked_for_before_them() {
    let queue = Queue::default();
    for (name, length) in [("large", 9), ("small", 1), ("asked", 5)] {
        queue.push(name.parse().expect("a name"), length);
    }
    let _answer = queue.ask(&"asked".parse().expect("a name"));
    let order: Vec<_> = (0..3)
        .filter_map(|_| queue.next())
        .map(|n| n.to_string())
        .collect();
    assert_eq!(order, ["asked", "small", "large"]);
}
