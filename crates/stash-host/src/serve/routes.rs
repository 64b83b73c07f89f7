//! Which component a request is for, by host and path. A request must never reach a component whose path it only looks
//! like.

use std::cmp::Reverse;

use super::app::App;

/// Where a component is reached.
#[derive(Debug, Clone)]
pub struct Route {
    /// The host that requests name, without a port; `None` for any.
    pub host: Option<String>,
    /// What paths begin with, in whole parts: `/shop` is `/shop` and `/shop/7`, not `/shopping`. `/` is every path.
    pub path: String,
    /// Whether the component sees the path as it came, and not what is behind [`path`](Self::path).
    pub keep_path: bool,
    /// The component.
    pub app: App,
}

/// All that is served.
#[derive(Debug, Clone, Default)]
pub struct Routes(Vec<Route>);

impl FromIterator<Route> for Routes {
    /// Of several that fit, one with a host comes before those without, and the longest path first.
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        let mut routes: Vec<Route> = routes
            .into_iter()
            .map(|route| Route {
                path: route.path.trim_end_matches('/').to_owned(),
                host: route.host.map(|host| host.to_ascii_lowercase()),
                ..route
            })
            .collect();
        routes.sort_by_key(|route| Reverse((route.host.is_some(), route.path.len())));
        Self(routes)
    }
}

impl Routes {
    /// Every component, each once a route.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.0.iter().map(|route| &route.app)
    }

    /// The component for a request, and the path that it sees.
    pub(super) fn find<'a>(&self, host: Option<&str>, path: &'a str) -> Option<(&App, &'a str)> {
        let host = host.map(|host| without_port(host).to_ascii_lowercase());
        self.0.iter().find_map(|route| {
            if route.host.is_some() && route.host != host {
                return None;
            }
            let rest = path.strip_prefix(route.path.as_str())?;
            if !rest.is_empty() && !rest.starts_with('/') {
                return None;
            }
            Some((&route.app, if route.keep_path || route.path.is_empty() { path } else { rest }))
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{GuestContext, HttpLimits, Runtime, RuntimeConfig};
    use crate::stash::{Stash, StashConfig};
    use crate::url::StoreUrl;
    use std::sync::Arc;

    /// A component that answers HTTP requests, as far as its type says.
    const HANDLER: &str = r#"(component
        (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $answer))
        (core module $m (func (export "handle") (param i32 i32)))
        (core instance $i (instantiate $m))
        (func $handle (param "request" (own $request)) (param "response-out" (own $answer))
            (canon lift (core func $i "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;

    async fn app(id: &str) -> App {
        let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
        let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
        let program = runtime.load_bytes("handler.wat", HANDLER.as_bytes()).unwrap();
        let id: stash_core::ComponentId = id.parse().unwrap();
        let store = stash.component(&id);
        let context = move || GuestContext::new(store.clone(), wasmtime_wasi::WasiCtx::builder().build());
        App::new(id, runtime.http(&program, HttpLimits::default(), Arc::new(context)).unwrap())
    }

    fn route(host: Option<&str>, path: &str, keep_path: bool, app: &App) -> Route {
        Route { host: host.map(str::to_owned), path: path.to_owned(), keep_path, app: app.clone() }
    }

    #[tokio::test]
    async fn the_nearest_route_counts_and_paths_are_whole_parts() {
        let [shop, cart, rest, host] = ["a/shop/1", "a/cart/1", "a/rest/1", "a/host/1"].map(app);
        let (shop, cart, rest, host) = (shop.await, cart.await, rest.await, host.await);
        let routes: Routes = [
            route(None, "/", false, &rest),
            route(None, "/shop/", false, &shop),
            route(None, "/shop/cart", true, &cart),
            route(Some("Links.example"), "/", false, &host),
        ]
        .into_iter()
        .collect();
        for (asked, path, name, seen) in [
            (None, "/", "a/rest/1", "/"),
            (None, "/shop", "a/shop/1", ""),
            (None, "/shop/", "a/shop/1", "/"),
            (None, "/shop/7", "a/shop/1", "/7"),
            (None, "/shopping", "a/rest/1", "/shopping"),
            (None, "/shop/cart", "a/cart/1", "/shop/cart"),
            (None, "/shop/cart/1", "a/cart/1", "/shop/cart/1"),
            (None, "/shop/carts", "a/shop/1", "/carts"),
            (Some("links.example:8080"), "/shop", "a/host/1", "/shop"),
            (Some("LINKS.EXAMPLE"), "/", "a/host/1", "/"),
            (Some("other.example"), "/shop/7", "a/shop/1", "/7"),
            (Some("[::1]:80"), "/x", "a/rest/1", "/x"),
        ] {
            let (app, rest) = routes.find(asked, path).unwrap();
            assert_eq!((app.name(), rest), (name, seen), "{asked:?} {path}");
        }
        let only: Routes = std::iter::once(route(None, "/shop", false, &shop)).collect();
        assert!(only.find(None, "/").is_none());
        assert!(only.find(None, "/shopping").is_none());
    }
}
