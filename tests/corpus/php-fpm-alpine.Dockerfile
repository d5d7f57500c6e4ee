FROM php:8.2-fpm-alpine
ADD --chmod=0755 https://github.com/mlocati/docker-php-extension-installer/releases/latest/download/install-php-extensions /usr/local/bin/
RUN install-php-extensions gd xdebug @composer
COPY docker/php.ini "$PHP_INI_DIR/conf.d/zz-app.ini"
VOLUME /var/lib/php/sessions
EXPOSE 9000
