"""What is known of nginx's directives that have no key of their own in proxy.toml."""

from typing import Final

_ITSELF: Final = "Foregate does so by itself"
_STREAMS: Final = "Foregate streams both ways and needs no buffers to be set"
_TLS: Final = "Foregate chooses the TLS settings of today by itself"
_PROCESS: Final = "about nginx's own processes and tables"
_FILES: Final = "Foregate serves no files; that is the app's job"
_COMPRESSION: Final = "Foregate does not compress yet; the app may"
_CACHE: Final = "the cache's key and rules are Foregate's own, see docs/cache.md"
_RETRIES: Final = "Foregate repeats only what is safe to repeat"
_LOGS: Final = "what the access log holds is fixed, see [log]"
_PROTOCOL: Final = "Foregate forwards to http and https only"

NEEDLESS: Final = {
    **dict.fromkeys(
        (
            *("user", "pid", "daemon", "master_process", "events", "env", "load_module", "lock_file"),
            *("worker_processes", "worker_connections", "worker_rlimit_nofile", "worker_cpu_affinity"),
            *("worker_shutdown_timeout", "pcre_jit", "thread_pool", "multi_accept", "use", "aio", "sendfile"),
            *("tcp_nopush", "tcp_nodelay", "types", "default_type", "types_hash_max_size", "charset", "ssi"),
            *("types_hash_bucket_size", "server_names_hash_bucket_size", "server_names_hash_max_size"),
            *(
                "variables_hash_max_size",
                "variables_hash_bucket_size",
                "map_hash_bucket_size",
                "map_hash_max_size",
            ),
            *("proxy_headers_hash_max_size", "proxy_headers_hash_bucket_size", "reset_timedout_connection"),
            *(
                "keepalive_requests",
                "keepalive_time",
                "lua_shared_dict",
                "lua_package_path",
                "sendfile_max_chunk",
            ),
            *("lingering_close", "lingering_time", "lingering_timeout", "output_buffers", "postpone_output"),
            *(
                "limit_req_log_level",
                "limit_conn_log_level",
                "limit_conn_zone",
                "open_file_cache",
                "zone",
                "queue",
            ),
            *(
                "client_body_in_file_only",
                "client_body_in_single_buffer",
                "if_modified_since",
                "server_tokens",
            ),
        ),
        _PROCESS,
    ),
    **dict.fromkeys(
        (
            *("proxy_buffering", "proxy_buffers", "proxy_buffer_size", "proxy_busy_buffers_size"),
            *(
                "proxy_request_buffering",
                "proxy_max_temp_file_size",
                "proxy_temp_path",
                "proxy_temp_file_write_size",
            ),
            *(
                "client_body_buffer_size",
                "client_header_buffer_size",
                "client_body_temp_path",
                "chunked_transfer_encoding",
            ),
        ),
        _STREAMS,
    ),
    **dict.fromkeys(
        (
            *("ssl_session_cache", "ssl_session_timeout", "ssl_session_tickets", "ssl_session_ticket_key"),
            *(
                "ssl_prefer_server_ciphers",
                "ssl_ciphers",
                "ssl_dhparam",
                "ssl_ecdh_curve",
                "ssl_conf_command",
            ),
            *(
                "ssl_stapling",
                "ssl_stapling_verify",
                "ssl_stapling_file",
                "ssl_trusted_certificate",
                "ssl_buffer_size",
            ),
            *("ssl_early_data", "ssl", "ssl_reject_handshake", "proxy_ssl_protocols", "proxy_ssl_ciphers"),
            *("proxy_ssl_session_reuse", "proxy_ssl_server_name", "proxy_ssl_verify_depth"),
        ),
        _TLS,
    ),
    **dict.fromkeys(
        (
            *("proxy_http_version", "resolver", "resolver_timeout", "keepalive", "ignore_invalid_headers"),
            *(
                "underscores_in_headers",
                "merge_slashes",
                "proxy_socket_keepalive",
                "proxy_pass_request_headers",
            ),
            *(
                "proxy_pass_request_body",
                "recursive_error_pages",
                "port_in_redirect",
                "server_name_in_redirect",
            ),
            *(
                "absolute_redirect",
                "real_ip_recursive",
                "keepalive_disable",
                "send_lowat",
                "proxy_send_timeout",
            ),
            *(
                "limit_req_status",
                "limit_conn_status",
                "client_body_temp_path",
                "proxy_force_ranges",
                "msie_padding",
            ),
        ),
        _ITSELF,
    ),
    **dict.fromkeys(
        ("log_format", "error_log", "log_not_found", "log_subrequest", "open_log_file_cache"), _LOGS
    ),
}

LEFT_OUT: Final = {
    **dict.fromkeys(
        (
            *("root", "alias", "index", "try_files", "autoindex", "expires", "etag", "open_file_cache_valid"),
            *(
                "error_page",
                "proxy_intercept_errors",
                "dav_methods",
                "random_index",
                "gzip_static",
                "mp4",
                "flv",
            ),
        ),
        _FILES,
    ),
    **dict.fromkeys(
        (
            *(
                "gzip",
                "gzip_types",
                "gzip_vary",
                "gzip_proxied",
                "gzip_comp_level",
                "gzip_min_length",
                "gzip_buffers",
            ),
            *(
                "gzip_http_version",
                "gzip_disable",
                "gunzip",
                "brotli",
                "brotli_types",
                "brotli_comp_level",
                "zstd",
            ),
        ),
        _COMPRESSION,
    ),
    **dict.fromkeys(
        (
            *(
                "proxy_cache_path",
                "proxy_cache_key",
                "proxy_cache_bypass",
                "proxy_no_cache",
                "proxy_cache_lock",
            ),
            *("proxy_cache_use_stale", "proxy_cache_background_update", "proxy_cache_revalidate"),
            *(
                "proxy_cache_min_uses",
                "proxy_cache_methods",
                "proxy_cache_lock_timeout",
                "proxy_ignore_headers",
            ),
            *("proxy_cache_lock_age", "proxy_store", "proxy_cache_purge", "proxy_cache_convert_head"),
        ),
        _CACHE,
    ),
    **dict.fromkeys(
        ("proxy_next_upstream", "proxy_next_upstream_tries", "proxy_next_upstream_timeout", "max_fails"),
        _RETRIES,
    ),
    **dict.fromkeys(
        ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass", "stream", "mail"),
        _PROTOCOL,
    ),
    "map": "Foregate has no variables",
    "geo": "Foregate has no variables; networks go into firewall or rate_limit.exempt",
    "limit_conn": "limits.connections_per_ip bounds the connections of an address, for all sites together",
    "limit_rate": "Foregate does not slow answers down",
    "sub_filter": "Foregate does not change content",
    "proxy_cookie_path": "Foregate does not change cookies",
    "proxy_cookie_domain": "Foregate does not change cookies",
    "proxy_redirect": "Foregate passes Location on as the app wrote it",
    "mirror": "Foregate does not copy requests",
    "proxy_method": "Foregate passes the method on",
    "proxy_set_body": "Foregate passes the content on",
    "proxy_bind": "the system chooses the address to connect from",
    "proxy_ssl_certificate": "Foregate has no client certificate for upstreams",
    "proxy_ssl_certificate_key": "Foregate has no client certificate for upstreams",
    "proxy_ssl_crl": "Foregate reads no revocation lists",
    "stub_status": "see docs/metrics.md for Foregate's own metrics",
    "break": "Foregate has no rewriting",
    "if": "Foregate has no conditions",
    "rewrite": "Foregate does not rewrite paths; a route can strip its own prefix (strip_prefix)",
}

# Families of directives, by how their names begin.
FAMILIES: Final = (
    ("fastcgi_", _PROTOCOL),
    ("uwsgi_", _PROTOCOL),
    ("grpc_", _PROTOCOL),
    ("scgi_", _PROTOCOL),
    ("gzip_", _COMPRESSION),
    ("brotli_", _COMPRESSION),
    ("proxy_cache_", _CACHE),
)

# The app is asked through these whether somebody may pass, or nginx asks itself: Foregate has no such means.
GUARDS: Final = frozenset(
    (
        *(
            "auth_basic",
            "auth_request",
            "auth_jwt",
            "ssl_verify_client",
            "secure_link",
            "internal",
            "limit_except",
        ),
        *("access_by_lua_block", "access_by_lua_file", "auth_digest", "auth_pam", "perl", "js_access"),
    )
)
# These say how a guard works.
GUARD_DETAILS: Final = frozenset(
    (
        *("auth_basic_user_file", "auth_request_set", "auth_jwt_key_file", "ssl_client_certificate"),
        *("ssl_verify_depth", "secure_link_md5", "satisfy", "ssl_crl"),
    )
)

# Request fields that Foregate sets by itself, from what it sees.
FORWARDING_FIELDS: Final = frozenset(
    (
        *(
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
        ),
        *(
            "x-request-id",
            "via",
            "connection",
            "upgrade",
            "x-forwarded-server",
            "x-forwarded-scheme",
            "x-scheme",
        ),
    )
)


def why_left_out(name: str) -> str:
    """Return why a directive is not carried over."""
    if name in LEFT_OUT:
        return LEFT_OUT[name]
    return next(
        (reason for start, reason in FAMILIES if name.startswith(start)), "Foregate has nothing like it"
    )
