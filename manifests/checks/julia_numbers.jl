# Julia solves and decomposes by its own libraries, compiles what is typed, runs tasks and reads back what it wrote.
using LinearAlgebra, Random, Serialization

function check()
    Random.seed!(1)
    a = rand(200, 200) + 200I
    x = rand(200)
    norm(a \ (a * x) - x) < 1e-10 || error("wrong solution of a linear system")
    u, s, v = svd(a)
    norm(u * Diagonal(s) * v' - a) < 1e-8 || error("wrong singular values")
    # a function for types that nobody compiled before
    half(value) = value / 2
    half(big"3") == big"1.5" && half(3 // 1) == 3 // 2 || error("wrong arithmetic")
    ccall(:strlen, Csize_t, (Cstring,), "four") == 4 || error("wrong answer from C")
    sum(asyncmap(x -> (sleep(0.01); x), 1:10)) == 55 || error("tasks lose their results")
    mktempdir() do folder
        file = joinpath(folder, "table")
        table = Dict("town" => ["Łódź", "Kraków"], "people" => [648, 804])
        serialize(file, table)
        deserialize(file) == table || error("another table was read than was written")
    end
    read(`$(Base.julia_cmd()) --startup-file=no -e "print(6 * 7)"`, String) == "42" || error("no second Julia")
    return string(VERSION)
end

try
    println("{\"check\": \"julia_numbers\", \"ok\": true, \"version\": \"", check(), "\"}")
catch fault
    reason = sprint(showerror, fault)
    println(stderr, reason)
    println("{\"check\": \"julia_numbers\", \"ok\": false, \"reason\": ", "\"", escape_string(reason), "\"}")
    exit(1)
end
