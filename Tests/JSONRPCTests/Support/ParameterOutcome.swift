import Testing

@testable import JSONRPC

/// Declares one method whose single parameter `p` has a type, calls it, and returns what its handler made of it, or
/// the error's code, reason and parameter.
func outcome<Value>(
    _ type: ParamType<Value>, _ json: String, describe: @escaping (Value) -> String
) throws -> String {
    var methods = MethodTable<Void>()
    var seen: String?
    methods.declare("m", "M.") { m in
        let p = m.param("p", type, "P.")
        return { call, _ in
            seen = describe(call[p])
            return call.reply()
        }
    }
    let dispatcher = Dispatcher(methods, context: ())
    let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
    let line = #"{"jsonrpc":"2.0","id":1,"method":"m","params":{"p":\#(json)}}"# + "\n"
    _ = dispatcher.consume(Array(line.utf8), from: connection)
    let reply = try JSONValue(parsing: Array(connection.takeOutput().dropLast()))
    if let seen {
        #expect(reply["result"] != nil)
        return seen
    }
    let error = try #require(reply["error"])
    let code = try #require(error["code"]?.intValue)
    let data = error["data"]
    return "\(code) \(data?["reason"]?.stringValue ?? "") \(data?["parameter"]?.stringValue ?? "")"
}
