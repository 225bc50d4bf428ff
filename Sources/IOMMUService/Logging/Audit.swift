import IOMMU
import JSONRPC
import Logging

/// Who took and gave back which device, and who was refused what: entries for the journal that can be looked for.
package struct Audit {
    private let log: Logger

    /// Entries of this log.
    package init(log: Logger) { self.log = log }

    func bound(device: String, group: UInt32?, by client: Client) {
        log.log(
            .deviceBound, level: .notice, "user \(client.peer.identity.uid) has taken device \(device)",
            fields(client, ["device": "\(device)", "group": "\(group.map(String.init) ?? "none")"]))
    }

    func unbound(device: String, by client: Client) {
        log.log(
            .deviceUnbound, level: .notice, "user \(client.peer.identity.uid) has given back device \(device)",
            fields(client, ["device": "\(device)"]))
    }

    /// What a session still had when it ended.
    func unbound(device: String, withEndOf session: Session) {
        let owner = session.owner
        log.log(
            .deviceUnbound, level: .notice, "the session of user \(owner.uid) that had device \(device) has ended",
            ["device": "\(device)", "session": "\(session.label)", "uid": "\(owner.uid)", "pid": "\(owner.pid)"])
    }

    /// What was left out because it was the same again and again; `nil`: of various subjects.
    func leftOut(_ subject: RepetitionLimit.Subject?, _ count: UInt64) {
        guard let subject else {
            return log.log(.entriesLeftOut, level: .warning, "\(count) more entries of many kinds were left out")
        }
        log.log(
            .entriesLeftOut, level: .warning,
            "\(count) more entries about \(subject.method) by user \(subject.user) were left out",
            [
                "method": "\(subject.method)", "reason": "\(subject.reason)", "uid": "\(subject.user)",
                "count": "\(count)",
            ])
    }

    /// An access of a device that an SMMU has recorded; `session` is the one that has the device.
    func faulted(_ fault: SMMUEvent, in session: Session?) {
        let event = fault.event
        let device = fault.name ?? "none"
        let place = event.address.map { " at \(hexadecimal($0))" } ?? ""
        let meaning = event.cause.map { ": \($0.meaning)" } ?? ""
        var fields: Logger.Metadata = [
            "smmu": "\(fault.smmu)", "device": "\(device)", "event": "\(event.type)",
            "stream_id": "\(hexadecimal(UInt64(event.streamID)))",
        ]
        if let pasid = event.substreamID { fields["pasid"] = "\(pasid)" }
        if let address = event.address { fields["address"] = "\(hexadecimal(address))" }
        if let session {
            fields["session"] = "\(session.label)"
            fields["uid"] = "\(session.owner.uid)"
        }
        log.log(
            .deviceFault, level: .warning,
            "\(fault.smmu): \(event.type) from \(fault.name.map { "device \($0)" } ?? "no device")\(place)\(meaning)",
            fields)
    }

    /// A refusal by policy, not one of a mistaken request.
    func refused(_ error: RPCError, method: String, to client: Client) {
        var more: Logger.Metadata = ["method": "\(method)", "reason": "\(error.reason)", "ERRNO": "\(error.errno)"]
        if let device = error.details.first(where: { $0.key == "device" })?.value.stringValue {
            more["device"] = "\(device)"
        }
        log.log(
            .requestRefused, level: .warning, "refused \(method) to user \(client.peer.identity.uid): \(error.message)",
            fields(client, more))
    }

    private func fields(_ client: Client, _ more: Logger.Metadata) -> Logger.Metadata {
        let identity = client.peer.identity
        let common: Logger.Metadata = [
            "session": "\(client.session.label)", "uid": "\(identity.uid)", "pid": "\(identity.pid)",
        ]
        return common.merging(more) { _, new in new }
    }
}
