FROM postgres:16
ENV POSTGRES_DB=app \
    POSTGRES_USER=app
COPY --chown=postgres:postgres *.sql *.sh /docker-entrypoint-initdb.d/
COPY postgresql.conf /etc/postgresql/
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=10 CMD ["pg_isready", "-U", "app"]
CMD ["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"]
EXPOSE 5432
