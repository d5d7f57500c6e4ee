FROM a
HEALTHCHECK --interval=5m --timeout=1.5s --start-period=1h2m --start-interval=500ms --retries=3 cmd curl -f http://localhost/ || exit 1
HEALTHCHECK none
