FROM php:8.2-apache
SHELL ["/bin/bash", "-Eeuo", "pipefail", "-c"]
RUN apt-get update; \
	apt-get install -y --no-install-recommends ghostscript; \
	rm -rf /var/lib/apt/lists/*
RUN set -ex; \
	savedAptMark="$(apt-mark showmanual)"; \
	apt-get update; \
	apt-get install -y --no-install-recommends libfreetype6-dev libjpeg-dev; \
	docker-php-ext-configure gd --with-freetype --with-jpeg; \
	docker-php-ext-install -j "$(nproc)" bcmath gd; \
# reset the marks
	apt-mark auto '.*' > /dev/null; \
	apt-mark manual $savedAptMark; \
	ldd "$(php -r 'echo ini_get("extension_dir");')"/*.so \
		| awk '/=>/ { so = $(NF-1); if (index(so, "/usr/local/") == 1) { next }; print so }' \
		| sort -u; \
	! { ldd x | grep 'not found'; }
VOLUME /var/www/html
STOPSIGNAL SIGWINCH
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["apache2-foreground"]
