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
