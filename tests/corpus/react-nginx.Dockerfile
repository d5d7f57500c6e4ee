FROM node:20 as build
ARG PUBLIC_URL=/
WORKDIR /ui
COPY package*.json ./
RUN npm install
COPY . ./
RUN PUBLIC_URL=${PUBLIC_URL%/} npm run build
FROM nginx:1.27-alpine
COPY --from=build /ui/build /usr/share/nginx/html
COPY <<'EOF' /etc/nginx/conf.d/default.conf
server {
  listen 8080;
  root /usr/share/nginx/html;
  location / { try_files $uri $uri/ /index.html; }
}
EOF
EXPOSE 8080
