#!/usr/bin/env bash
# C, C++ and Fortran compile, link and run; CMake and make build a project of all three.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "compilers", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.13)
project(check C CXX Fortran)
add_library(parts c.c f.f90)
add_executable(check main.cpp)
target_link_libraries(check parts m)
END
cat > c.c <<'END'
#include <math.h>
double from_c(double x) { return sqrt(x); }
END
cat > f.f90 <<'END'
real(8) function from_fortran(x) bind(c)
  use iso_c_binding, only: c_double
  real(c_double), value :: x
  from_fortran = sum([x, x, x])
end function
END
cat > main.cpp <<'END'
#include <iostream>
#include <vector>
extern "C" double from_c(double x);
extern "C" double from_fortran(double x);
int main() {
    std::vector<double> numbers{from_c(144), from_fortran(10)};
    std::cout << numbers[0] + numbers[1] << std::endl;
}
END
CC=gcc CXX=g++ FC=gfortran cmake -S . -B build >cmake.log 2>&1 || fail "cmake: $(grep -m1 -i error cmake.log || true)"
make -C build >make.log 2>&1 || fail "make: $(grep -m1 -i error make.log || true)"
printed=$(build/check)
[ "$printed" = 42 ] || fail "the program printed $printed"
printf '{"check": "compilers", "ok": true}\n'
