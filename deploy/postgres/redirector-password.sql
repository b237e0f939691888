-- Gives the role of redirectors the password that stands in the environment of psql. For compose.yaml and stack.yaml.
\getenv password REDIRECTOR_DATABASE_PASSWORD
ALTER ROLE tern_redirector PASSWORD :'password';
