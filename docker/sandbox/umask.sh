# Read by every bash and sh of the sandbox, login shells or not (ENV, BASH_ENV and /etc/profile.d).
umask 0002
