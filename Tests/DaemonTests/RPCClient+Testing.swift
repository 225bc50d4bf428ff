import CLinux
import Foundation
import JSONRPC
import Testing

extension RPCClient {
    /// Calls with parameters as JSON text.
    @discardableResult
    func call(_ method: String, _ params: String, descriptors: [Int32] = []) throws -> JSONValue {
        try call(method, try JSONValue(parsing: params), descriptors: descriptors)
    }

    /// The id, or other plain integer, that a call results in.
    func id(_ method: String, _ params: String = "{}", _ key: String) throws -> Int {
        try #require(try call(method, params)[key]?.intValue, "\(method) gives no \(key)")
    }

    /// The refusal of a call; a failure of the test if it succeeds.
    func refusal(
        _ method: String, _ params: String = "{}", descriptors: [Int32] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> RPCError {
        do {
            let result = try call(method, try JSONValue(parsing: params), descriptors: descriptors)
            Issue.record("\(method) \(params) succeeded with \(result.text)", sourceLocation: sourceLocation)
            return RPCError(errno: 0, reason: "none", message: "")
        } catch let error as RPCError {
            return error
        }
    }

    /// Expects a refusal with this errno and, if given, reason.
    func expect(
        _ errno: Int32, _ reason: String? = nil, _ method: String, _ params: String = "{}", descriptors: [Int32] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let error = try refusal(method, params, descriptors: descriptors, sourceLocation: sourceLocation)
        #expect(error.code == -Int(errno), "\(method) \(params): \(error)", sourceLocation: sourceLocation)
        if let reason { #expect(error.reason == reason, "\(error.message)", sourceLocation: sourceLocation) }
    }

    /// Expects -32602.
    func expectMistake(
        _ method: String, _ params: String, naming parameter: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let error = try refusal(method, params, sourceLocation: sourceLocation)
        #expect(error.code == RPCError.invalidParams, "\(error)", sourceLocation: sourceLocation)
        #expect(error.message.contains(parameter), "\(error.message)", sourceLocation: sourceLocation)
    }

    /// Imports a memfd. - Returns: its id.
    func importMemory(_ memory: SharedMemory) throws -> Int {
        let reply = try call("memory.import", "{}", descriptors: [memory.descriptor])
        return try #require(reply["memory"]?.intValue)
    }
}

/// A memfd mapped into this process.
final class SharedMemory {
    let descriptor: Int32
    let bytes: UnsafeMutableRawBufferPointer

    init(size: Int) throws {
        descriptor = clinux_memfd_create("client", false)
        try #require(descriptor >= 0)
        try #require(ftruncate(descriptor, off_t(size)) == 0)
        let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        try #require(address != MAP_FAILED)
        bytes = UnsafeMutableRawBufferPointer(start: address, count: size)
    }

    deinit {
        munmap(bytes.baseAddress, bytes.count)
        close(descriptor)
    }

    func word(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
    func setWord(_ offset: Int, _ value: UInt64) { bytes.storeBytes(of: value, toByteOffset: offset, as: UInt64.self) }

    func text(_ offset: Int, _ count: Int) -> String { String(decoding: bytes[offset..<offset + count], as: UTF8.self) }
}

extension String {
    /// The text's bytes as base64.
    var base64: String { Data(utf8).base64EncodedString() }
}
