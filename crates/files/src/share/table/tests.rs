use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn record(length: u64, root: Option<u8>) -> Record {
    Record {
        stamp: Stamp {
            length,
            mtime: 0,
            mtime_nanos: 0,
            executable: false,
            ctime: 0,
            inode: 1,
            device: 1,
        },
        root: root.map(|byte| Root::new([byte; 32])),
    }
}

#[test]
fn a_file_takes_its_name_and_135_bytes_in_whatever_order_files_come() {
    let mut numbers: Vec<u32> = (0..20_000).collect();
    for in_order in [true, false] {
        if !in_order {
            numbers.sort_by_key(|number| number.wrapping_mul(2_654_435_761));
        }
        let mut table = Table::default();
        for number in &numbers {
            let mut root = [0; 32];
            root[..4].copy_from_slice(&number.wrapping_mul(2_246_822_519).to_be_bytes());
            let file = Record {
                root: Some(Root::new(root)),
                ..record(1, None)
            };
            table.insert(&name(&format!("{number:06}")), file);
        }
        let orders = table.by_name.capacity() * size_of::<u32>()
            + table.by_content.capacity() * size_of::<(u32, u32)>();
        let bytes = table.files.capacity() * size_of::<Listed>() + orders;
        let of_name = 2 * size_of::<usize>();
        let each = bytes / numbers.len() + of_name;
        assert!(each <= 135, "{each} bytes");
    }
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_the_table_says_what_a_map_would_say(
        steps in vec((any::<bool>(), 0..12_u8, 0..3_u64, prop::option::of(0..3_u8)), 0..120)
    ) {
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        for (is_there, which, length, root) in steps {
            let name = name(&format!("{}/f{which}", which % 3));
            if is_there {
                let record = record(length, root);
                prop_assert_eq!(table.insert(&name, record), model.insert(name, record));
            } else {
                prop_assert_eq!(table.remove(&name), model.remove(&name));
            }
        }
        prop_assert_eq!(table.len(), model.len());
        prop_assert!(table.names().eq(model.keys()));
        for which in 0..12 {
            let name = name(&format!("{}/f{which}", which % 3));
            prop_assert_eq!(table.get(&name), model.get(&name).copied());
        }
        for prefix in ["0/", "1/", "2/f", "3/", ""] {
            let beneath = model.keys().filter(|name| name.as_str().starts_with(prefix));
            prop_assert!(table.names_beginning(prefix).eq(beneath));
        }
        for byte in 0..3 {
            let root = Root::new([byte; 32]);
            let has = |record: &Record, length| {
                record.root == Some(root) && record.stamp.length == length
            };
            let mut contents = Vec::new();
            for length in 0..3 {
                let of_it = model.iter().filter(|(_, record)| has(record, length));
                let names: Vec<&Name> = of_it.map(|(name, _)| name).collect();
                let content = Content { length, root };
                prop_assert!(table.names_of(content).eq(names.iter().copied()));
                contents.extend((!names.is_empty()).then_some(content));
            }
            prop_assert_eq!(table.contents_beginning(&[byte; 20]), contents);
        }
    }
}
