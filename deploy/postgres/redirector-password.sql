-- Sets the password of the redirectors' role to REDIRECTOR_DATABASE_PASSWORD from the environment of psql.
-- It requires psql 15 or newer.
\getenv password REDIRECTOR_DATABASE_PASSWORD
ALTER ROLE tern_redirector PASSWORD :'password';
