import JSONRPC

/// Who calls methods of the daemon, over its socket or in process. What is expected and does not come is thrown.
package protocol MethodCaller {
    /// Calls a method and waits for its result; a refusal is thrown as `RPCError`.
    ///
    /// - Parameter descriptors: sent along; they stay the caller's.
    func call(_ method: String, _ params: JSONValue, descriptors: [Int32]) throws -> JSONValue

    /// Sends bytes as they are; the descriptors go with the first of them.
    func send(bytes: [UInt8], descriptors: [Int32]) throws

    /// The next line without its end; nil when the connection has ended.
    func receiveLine() throws -> [UInt8]?
}

extension RPCClient: MethodCaller {}

extension MethodCaller {
    /// Calls with parameters as JSON text.
    @discardableResult
    package func call(_ method: String, _ params: String, descriptors: [Int32] = []) throws -> JSONValue {
        try call(method, try JSONValue(parsing: params), descriptors: descriptors)
    }

    /// The id, or other plain integer, that a call results in.
    package func id(_ method: String, _ params: String = "{}", _ key: String) throws -> Int {
        let result = try call(method, params)
        guard let id = result[key]?.intValue else { throw Unexpected("\(method) gives no \(key): \(result.text)") }
        return id
    }

    /// The refusal of a call that is to be refused.
    package func refusal(_ method: String, _ params: String = "{}", descriptors: [Int32] = []) throws -> RPCError {
        do {
            let result = try call(method, params, descriptors: descriptors)
            throw Unexpected("\(method) \(params) succeeded with \(result.text)")
        } catch let error as RPCError {
            return error
        }
    }

    /// Expects a refusal with this errno and reason.
    package func expect(
        _ errno: Int32, _ reason: String, _ method: String, _ params: String = "{}", descriptors: [Int32] = []
    ) throws {
        let error = try refusal(method, params, descriptors: descriptors)
        guard error.code == -Int(errno), error.reason == reason else {
            throw Unexpected("\(method) \(params): \(error.code) \(error.reason), \(error.message)")
        }
    }

    /// Expects -32602, whose message names the parameter.
    package func expectMistake(_ method: String, _ params: String, naming parameter: String) throws {
        let error = try refusal(method, params)
        guard error.code == RPCError.invalidParams, error.message.contains(parameter) else {
            throw Unexpected("\(method) \(params): \(error.code) \(error.reason), \(error.message)")
        }
    }

    /// Imports a memfd. - Returns: the memory object's id.
    package func importMemory(_ memory: SharedMemory) throws -> Int {
        let result = try call("memory.import", "{}", descriptors: [memory.descriptor])
        guard let id = result["memory"]?.intValue else { throw Unexpected("no memory: \(result.text)") }
        return id
    }
}

extension JSONValue {
    /// Errno and reason of a reply that refuses, as in "ENOENT not_mapped"; nil of any other.
    package var refusal: String? {
        guard let data = self["error"]?["data"], let reason = data["reason"]?.stringValue else { return nil }
        return [data["errno"]?.stringValue, reason].compactMap { $0 }.joined(separator: " ")
    }
}

extension RPCError {
    /// What the refusal says besides.
    package func detail(_ key: String) -> JSONValue? { details.first { $0.key == key }?.value }
}
