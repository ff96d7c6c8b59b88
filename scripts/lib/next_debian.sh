# shellcheck shell=bash
# A few packages of Debian 13 on Debian 12. Sourced after common.sh.
# shellcheck disable=SC2154 # common.sh sets machine

# install_from_next_debian "THEIRS..." PACKAGE...: installs all packages, THEIRS, and only they, from Debian 13, through
# a throw-away apt configuration: nothing else is upgraded, and /etc/apt stays as it is.
install_from_next_debian() (
    etc=$machine/etc theirs=$1
    shift
    apt=$(mktemp -d) || exit
    trap 'as_root rm -rf "$apt"' EXIT
    chmod 755 "$apt" # apt's own user reads it
    mkdir -p "$apt/sources" "$apt/preferences" "$apt/lists/partial"
    cp -p "$etc"/apt/sources.list.d/*.{list,sources} "$apt/sources/" 2>/dev/null || true
    cp -p "$etc"/apt/preferences.d/* "$apt/preferences/" 2>/dev/null || true
    next_suite bookworm trixie "$apt/sources"
    if [[ ! -s $apt/sources/dsvm-next.list && ! -s $apt/sources/dsvm-next.sources ]]; then
        die "this host's apt sources name no archive of bookworm beside which trixie is: $theirs" \
            "Debian 12 has none that would do. Install them yourself." 4
    fi
    cat >"$apt/preferences/dsvm" <<END
Package: *
Pin: release n=trixie
Pin-Priority: -1

Package: $theirs
Pin: release n=trixie
Pin-Priority: 990
END
    options=()
    for option in "Dir::Etc::SourceList=$etc/apt/sources.list" "Dir::Etc::SourceParts=$apt/sources" \
        "Dir::Etc::PreferencesParts=$apt/preferences" "Dir::State::Lists=$apt/lists" \
        Dir::Cache::pkgcache= Dir::Cache::srcpkgcache= Acquire::Languages=none; do
        options+=(-o "$option")
    done
    say "installing $* with apt, from Debian 13: $theirs"
    apt_get "${options[@]}" update
    apt_get "${options[@]}" install -y "$@"
)

# next_suite FROM TO FOLDER: the machine's own sources of suite FROM, said for TO, written into FOLDER.
next_suite() {
    local from=$1 to=$2 folder=$3 file
    for file in "$machine"/etc/apt/sources.list "$machine"/etc/apt/sources.list.d/*.list; do
        [[ -f $file ]] || continue
        # TYPE [OPTIONS] URI SUITE COMPONENT...
        awk -v from="$from" -v to="$to" '
            $1 == "deb" {
                line = $1
                for (i = 2; i < NF; i++) {
                    if (($i == from || $i == "oldstable") && $(i - 1) ~ /:/ && $(i - 1) !~ /^cdrom/) { print line, to, "main"; next }
                    line = line " " $i
                }
            }' "$file"
    done >"$folder/dsvm-next.list"
    for file in "$machine"/etc/apt/sources.list.d/*.sources; do
        [[ -f $file ]] || continue
        # Paragraphs of fields; a line that starts with a blank belongs to the field before it.
        awk -v from="$from" -v to="$to" '
            function flush() {
                if (wanted && binary && !off) printf "%sSuites: %s\nComponents: main\n\n", text, to
                text = ""; wanted = binary = off = 0; field = ""
            }
            /^[ \t]*$/ { flush(); next }
            /^#/ { next }
            /^[^ \t]/ { field = tolower($1); sub(/:.*/, "", field) }
            field == "suites" { for (i = 1; i <= NF; i++) if ($i == from || $i == "oldstable") wanted = 1; next }
            field == "components" { next }
            field == "types" { for (i = 2; i <= NF; i++) if ($i == "deb") binary = 1; text = text "Types: deb\n"; next }
            field == "enabled" && tolower($2) ~ /^(no|false|off|0)$/ { off = 1 }
            { text = text $0 "\n" }
            END { flush() }' "$file"
    done >"$folder/dsvm-next.sources"
}
