import IOMMU
import LinuxIO

/// Refusals of a helper: those that looking into a process can come to, and no others.
extension IOMMUError {
    private static let reasonsOfHelpers: [Reason] = [
        .foreignPidNamespace, .mmExited, .noCapSysPtrace, .noSuchProcess, .notDumpable, .notMemAndMaps,
        .notSameUser, .noDescriptors, .processHidden, .ptraceRefused, .yamaPtraceScope,
    ]
    /// Objects that one refusal names.
    private static let mostMembers = 8

    func put(into writer: inout WireWriter) {
        writer.put(errno.rawValue)
        writer.put(reason.slug)
        writer.put(message)
        writer.put(hint)
        let sent = members.prefix(Self.mostMembers)
        writer.put(UInt8(sent.count))
        for member in sent {
            writer.put(member.key)
            switch member.value {
            case .number(let number):
                writer.put(UInt8(0))
                writer.put(number)
            case .hex(let number):
                writer.put(UInt8(1))
                writer.put(number)
            case .text(let text):
                writer.put(UInt8(2))
                writer.put(text)
            // Nobody who looks into a process names such an object.
            case .flag, .words, .object:
                writer.put(UInt8(2))
                writer.put("\(member.value)")
            }
        }
    }

    /// nil for what is none of a helper's.
    init?(_ reader: inout WireReader) {
        guard let code = reader.number(Int32.self), let errno = Errno(rawValue: code), let slug = reader.text(),
            let reason = Self.reasonsOfHelpers.first(where: { $0.slug == slug }), let message = reader.text(),
            let hint = reader.text(), let count = reader.number(UInt8.self),
            count <= Self.mostMembers
        else { return nil }
        var error = IOMMUError(errno, reason, message, hint: hint)
        for _ in 0..<count {
            guard let key = reader.text(), let value = Self.value(&reader) else { return nil }
            error = error.with(key, value)
        }
        self = error
    }

    private static func value(_ reader: inout WireReader) -> Value? {
        switch reader.number(UInt8.self) {
        case 0: reader.number(UInt64.self).map { .number($0) }
        case 1: reader.number(UInt64.self).map { .hex($0) }
        case 2: reader.text().map { .text($0) }
        default: nil
        }
    }
}
