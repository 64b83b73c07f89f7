//! Several key-value interfaces in one component, over the same data; and a component that asks for too much of them. It
//! must tell what the host answered, word for word.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "stash:mixed/mixed",
    generate_all,
});

mod hostile;
mod shapes;

struct Mixed;

type Told = Result<String, String>;

impl Guest for Mixed {
    fn run(name: String, arguments: Vec<String>) -> Told {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (name.as_str(), arguments.as_slice()) {
            ("same-data", []) => shapes::same_data(),
            ("get", [bucket, key]) => shapes::get(bucket, key),
            ("add", [bucket, times]) => shapes::add(bucket, times),
            ("swap-absent", [key, value]) => shapes::swap_absent(key, value),
            ("fill", [bucket, count]) => shapes::fill(bucket, count),
            ("numbered", [bucket]) => shapes::numbered(bucket, None),
            ("numbered", [bucket, cursor]) => shapes::numbered(bucket, Some(cursor)),
            ("paged", [bucket]) => shapes::paged(bucket, None),
            ("paged", [bucket, cursor]) => shapes::paged(bucket, Some(cursor)),
            ("deleted-collection", []) => shapes::deleted_collection(),
            ("config", [key]) => shapes::config(key),
            ("log", [context, message]) => Ok(shapes::log(context, message)),
            ("over-the-cap", [bytes]) => hostile::over_the_cap(bytes),
            ("long-list", [bytes]) => hostile::long_list(bytes),
            ("handles", []) => hostile::handles(),
            ("names", []) => hostile::names(),
            ("keys", []) => hostile::keys(),
            ("batches", []) => hostile::batches(),
            ("hoard", [bytes]) => hostile::hoard(bytes),
            _ => Err(format!("there is no '{name}' with {} arguments", arguments.len())),
        }
    }
}

export!(Mixed);
