FROM nginx:stable
COPY site/ /usr/share/nginx/html/
ADD https://example.org/favicon.ico /usr/share/nginx/html/favicon.ico
COPY nginx.conf /etc/nginx/nginx.conf
HEALTHCHECK CMD curl -fs http://localhost/ || exit 1
