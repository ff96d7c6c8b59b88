# A table is grouped, summed up, joined and sorted; a missing value stays missing.
using DataFrames

function check()
    own = joinpath(first(DEPOT_PATH), "compiled", "v$(VERSION.major).$(VERSION.minor)", "DataFrames")
    isdir(own) && error("DataFrames as the image compiled it was not taken: Julia compiled it again, in $own")
    sales = DataFrame(town = ["Łódź", "Kraków", "Łódź", "Kraków"], sold = [1, 20, 3, missing])
    sums = combine(groupby(sales, :town), :sold => (x -> sum(skipmissing(x))) => :sold)
    sort!(sums, :sold)
    sums.town == ["Łódź", "Kraków"] && sums.sold == [4, 20] || error("wrong sums: $(sums)")
    people = DataFrame(town = ["Kraków", "Łódź"], people = [804, 648])
    joined = innerjoin(sums, people, on = :town)
    sort!(joined, :town)
    joined.people ./ joined.sold == [804 / 20, 648 / 4] || error("wrong join: $(joined)")
    count(ismissing, sales.sold) == 1 || error("a missing value got lost")
    last(describe(sales, :nmissing).nmissing) == 1 || error("wrong description")
    return nrow(joined)
end

try
    println("{\"check\": \"julia_dataframes\", \"ok\": true, \"rows\": ", check(), "}")
catch fault
    reason = sprint(showerror, fault)
    println(stderr, reason)
    println("{\"check\": \"julia_dataframes\", \"ok\": false, \"reason\": ", "\"", escape_string(reason), "\"}")
    exit(1)
end
