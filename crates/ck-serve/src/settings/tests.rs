use super::*;
use crate::ServeError;

fn flags() -> ServeArgs {
    ServeArgs {
        id: Some(NodeId::new("n").unwrap()),
        ..ServeArgs::default()
    }
}

fn with_file(text: &str, mut flags: ServeArgs) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ck.toml");
    std::fs::write(&file, text).unwrap();
    flags.config = Some(file);
    Settings::read(&flags)
}

fn refused(result: Result<Settings, SettingsError>) -> String {
    match result {
        Err(error) => {
            let shown = error.to_string();
            assert_eq!(ServeError::from(error).exit_code(), 2, "{shown}");
            shown
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_peer_port_is_beside_the_http_port() {
    let read = |http: &str| {
        Settings::read(&ServeArgs {
            http: Some(http.to_owned()),
            ..flags()
        })
    };
    assert_eq!(read(":8080").unwrap().http.to_string(), "127.0.0.1:8080");
    assert_eq!(read(":8080").unwrap().peer.to_string(), "127.0.0.1:10080");
    assert_eq!(read("127.0.0.1:0").unwrap().peer.port(), 0);
    assert_eq!(read("127.0.0.1:63535").unwrap().peer.port(), 65_535);
    assert!(refused(read("127.0.0.1:63536")).contains("--peer"));
    assert!(refused(read("nonsense")).contains("--http nonsense"));
}

#[test]
fn an_address_beyond_loopback_needs_a_word_of_consent() {
    let open = ServeArgs {
        http: Some("0.0.0.0:8080".to_owned()),
        ..flags()
    };
    assert!(refused(Settings::read(&open)).contains("--insecure"));
    let consents = ServeArgs {
        insecure: true,
        ..open
    };
    assert!(refused(Settings::read(&consents)).contains("--advertise"));
    let told = ServeArgs {
        advertise: Some("n1.internal".into()),
        ..consents
    };
    assert!(Settings::read(&told).is_ok());
    let peer = ServeArgs {
        peer: Some("0.0.0.0:9".to_owned()),
        ..flags()
    };
    assert!(refused(Settings::read(&peer)).contains("--peer"));
}

#[test]
fn a_flag_stands_before_the_file() {
    let file = "http = \":1000\"\njoin = [\":1\", \"http://h:2/\"]\npartitions = 7\n\
                auto_create = false\napplication = \"volatile\"\nrejoin_grace = \"5s\"\n[services]\nkv = \"h:1\"\n";
    let settings = with_file(file, flags()).unwrap();
    assert_eq!(settings.http.port(), 1000);
    assert_eq!(settings.join, ["127.0.0.1:1", "h:2"]);
    assert_eq!(settings.choices.partitions, Some(7));
    assert_eq!(settings.choices.auto_create, Some(false));
    assert_eq!(settings.application, Some(Durability::Volatile));
    assert_eq!(settings.choices.rejoin_grace_ms, Some(5000));
    assert_eq!(settings.services["kv"], "h:1");
    assert_eq!(settings.data, Path::new("clusterkit-data/n"));
    let given = ServeArgs {
        partitions: Some(9),
        service: vec![("web".into(), "h:3".into())],
        ..flags()
    };
    let settings = with_file(file, given).unwrap();
    assert_eq!(settings.choices.partitions, Some(9));
    assert_eq!(settings.services.keys().collect::<Vec<_>>(), ["web"]);
}

#[test]
fn a_file_with_an_unknown_or_wrong_field_is_refused_by_name() {
    assert!(refused(with_file("ports = 1", flags())).contains("ports"));
    assert!(refused(with_file("weight = \"x\"", flags())).contains("weight"));
    assert!(refused(with_file("rejoin_grace = \"soon\"", flags())).contains("soon"));
}

#[test]
fn what_is_missing_or_doubled_is_named() {
    assert!(refused(Settings::read(&ServeArgs::default())).contains("--id"));
    let twice = vec![
        ("kv".to_owned(), "h:1".to_owned()),
        ("kv".to_owned(), "h:2".to_owned()),
    ];
    let twice = ServeArgs {
        service: twice,
        ..flags()
    };
    assert!(refused(Settings::read(&twice)).contains("--service kv"));
    for wrong in ["", "h", "h:", ":0", "h:x", "ftp://h:1"] {
        let join = ServeArgs {
            join: vec![wrong.to_owned()],
            ..flags()
        };
        assert!(refused(Settings::read(&join)).contains("--join"), "{wrong}");
    }
}
#[test]
fn the_default_directory_stays_below_its_parent() {
    let data = |id: &str| {
        let id = Some(NodeId::new(id).unwrap());
        let flags = ServeArgs {
            id,
            ..ServeArgs::default()
        };
        Settings::read(&flags).unwrap().data
    };
    for (id, name) in [
        ("node-1", "node-1"),
        ("a.b_C", "a.b_C"),
        ("a/b", "a%2Fb"),
        ("../../etc", "..%2F..%2Fetc"),
        ("/etc", "%2Fetc"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
    ] {
        let data = data(id);
        assert_eq!(data, Path::new("clusterkit-data").join(name), "{id}");
        assert_eq!(data.components().count(), 2, "{id}");
    }
}

#[test]
fn a_value_that_no_cluster_has_is_a_usage_error() {
    let wrong = [
        ServeArgs {
            replication_factor: Some(0),
            ..flags()
        },
        ServeArgs {
            replication_factor: Some(17),
            ..flags()
        },
        ServeArgs {
            partitions: Some(0),
            ..flags()
        },
        ServeArgs {
            spread: Some(9),
            ..flags()
        },
        ServeArgs {
            weight: Some(0),
            ..flags()
        },
    ];
    for flags in wrong {
        let message = refused(Settings::read(&flags));
        let told = message.contains("out of range") || message.contains("spread 9 exceeds");
        assert!(told, "{flags:?}: {message}");
    }
    // The cluster that is joined may have more copies than the default.
    let joining = ServeArgs {
        spread: Some(5),
        join: vec![":1".to_owned()],
        ..flags()
    };
    assert!(Settings::read(&joining).is_ok());
}
