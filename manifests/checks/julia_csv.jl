# What is written is read back: numbers as numbers, quotes and commas in text, what is missing.
import CSV

function check()
    own = joinpath(first(DEPOT_PATH), "compiled", "v$(VERSION.major).$(VERSION.minor)", "CSV")
    isdir(own) && error("CSV as the image compiled it was not taken: Julia compiled it again, in $own")
    mktempdir() do folder
        file = joinpath(folder, "towns.csv")
        towns = (town = ["Łódź, in the \"middle\"", "Kraków"], people = [648, 804], share = [1.7, missing])
        CSV.write(file, towns)
        startswith(read(file, String), "town,people,share\n") || error("wrong header")
        table = CSV.File(file)
        table.town == towns.town || error("other towns: $(table.town)")
        eltype(table.people) <: Integer && sum(table.people) == 1452 || error("other numbers: $(table.people)")
        isequal(collect(table.share), towns.share) || error("other shares: $(table.share)")
        return length(table)
    end
end

try
    println("{\"check\": \"julia_csv\", \"ok\": true, \"rows\": ", check(), "}")
catch fault
    reason = sprint(showerror, fault)
    println(stderr, reason)
    println("{\"check\": \"julia_csv\", \"ok\": false, \"reason\": ", "\"", escape_string(reason), "\"}")
    exit(1)
end
