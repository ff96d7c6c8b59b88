#!/usr/bin/env bash
# javac compiles a program of two classes and java runs it; java also runs a source file.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "java_program", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > Check.java <<'END'
import java.util.stream.IntStream;

public class Check {
    record Pair(int a, int b) { int sum() { return a + b; } }

    public static void main(String[] args) {
        System.out.println(new Pair(IntStream.range(0, 9).sum(), args.length).sum() + " Łódź");
    }
}
END
javac -encoding UTF-8 -d classes Check.java
printed=$(java -Dstdout.encoding=UTF-8 -Dfile.encoding=UTF-8 -cp classes Check a b c d e f)
[ "$printed" = "42 Łódź" ] || fail "the program printed $printed"
java Check.java a >/dev/null
printf '{"check": "java_program", "ok": true}\n'
