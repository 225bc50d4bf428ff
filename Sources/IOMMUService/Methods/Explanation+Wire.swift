import IOMMU
import JSONRPC
import LinuxIO

extension DeviceExplanation.Obstacle {
    var json: JSONValue {
        .problem(reason: reason, text: text, hint: hint, members.map(\.json))
    }
}

extension LayoutProblem {
    var json: JSONValue {
        var members: [JSONValue.Member] = []
        if let mapping { members.append(.init(key: "mapping", value: .integer(mapping))) }
        if let device { members.append(.init(key: "device", value: .string(device))) }
        let known = members.map(\.key)
        members += error.members.filter { !known.contains($0.key) }.map(\.json)
        return .problem(errno: error.errno, reason: error.reason, text: error.message, hint: error.hint, members)
    }
}

extension IOMMUError {
    /// As one of the reasons of an explanation.
    var problem: JSONValue {
        .problem(errno: errno, reason: reason, text: message, hint: hint, members.map(\.json))
    }
}

extension JSONValue {
    fileprivate static func problem(
        errno: Errno? = nil, reason: Reason, text: String, hint: String, _ objects: [Member]
    ) -> JSONValue {
        var members: [Member] = []
        if let errno { members.append(Member(key: "errno", value: .string(errno.name))) }
        members.append(Member(key: "reason", value: .string(reason.slug)))
        members.append(Member(key: "text", value: .string(text)))
        members.append(Member(key: "hint", value: .string(hint)))
        return .object(members + objects)
    }
}
