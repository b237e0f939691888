-- Gives the role of redirectors the password that stands in the environment of psql. It takes
-- a psql of 15 or newer.
\getenv password REDIRECTOR_DATABASE_PASSWORD
ALTER ROLE tern_redirector PASSWORD :'password';
