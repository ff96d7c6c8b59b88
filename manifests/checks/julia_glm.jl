# A straight line is found again in points that lie on it but for a small known error, and so are odds.
using GLM

function check()
    own = joinpath(first(DEPOT_PATH), "compiled", "v$(VERSION.major).$(VERSION.minor)", "GLM")
    isdir(own) && error("GLM as the image compiled it was not taken: Julia compiled it again, in $own")
    x = collect(1.0:20.0)
    y = 3 .+ 2 .* x .+ [isodd(i) ? 0.1 : -0.1 for i in 1:20]
    line = lm([ones(20) x], y)
    fitted = coef(line)
    abs(fitted[1] - 3) < 0.1 && abs(fitted[2] - 2) < 0.01 || error("another line: $fitted")
    r2(line) > 0.999 || error("it does not fit: $(r2(line))")
    # of 10 below 5.5 two, of 10 above it eight: the odds are 1:4 and 4:1
    high = [zeros(10); ones(10)]
    seen = [ones(2); zeros(8); ones(8); zeros(2)]
    odds = exp.(coef(glm([ones(20) high], seen, Binomial(), LogitLink())))
    abs(odds[1] - 1 / 4) < 1e-4 && abs(odds[2] - 16) < 1e-2 || error("other odds: $odds")
    return round(fitted[2], digits = 4)
end

try
    println("{\"check\": \"julia_glm\", \"ok\": true, \"slope\": ", check(), "}")
catch fault
    reason = sprint(showerror, fault)
    println(stderr, reason)
    println("{\"check\": \"julia_glm\", \"ok\": false, \"reason\": ", "\"", escape_string(reason), "\"}")
    exit(1)
end
