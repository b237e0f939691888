-- Asks for random codes of a list: wrk -s codes.lua URL -- CODES_FILE
function init(arguments)
    codes = {}
    for code in io.lines(arguments[1]) do codes[#codes + 1] = wrk.format("GET", "/" .. code) end
    math.randomseed(os.time())
end

function request()
    return codes[math.random(#codes)]
end
