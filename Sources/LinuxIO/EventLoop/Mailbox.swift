import CLinux
import Glibc
import Synchronization

/// How other threads speak to a loop: they post values, the loop's thread handles them in order.
public final class Mailbox<Message: Sendable>: Sendable {
    private let messages = Mutex<[Message]>([])
    private let capacity: Int
    fileprivate let wakeUp: Descriptor

    fileprivate init(capacity: Int) throws(SystemError) {
        self.capacity = capacity
        wakeUp = try Descriptor(opened: clinux_make_eventfd(), "eventfd")
    }

    /// Hands a value to the loop; `false` if as many as the mailbox holds are already waiting. From any thread.
    @discardableResult
    public func post(_ message: Message) -> Bool {
        let (isPosted, isFirst) = messages.withLock { messages in
            guard messages.count < capacity else { return (false, false) }
            messages.append(message)
            return (true, messages.count == 1)
        }
        if isFirst { _ = eventfd_write(wakeUp.number, 1) }
        return isPosted
    }

    fileprivate func takeAll() -> [Message] {
        var count: eventfd_t = 0
        _ = eventfd_read(wakeUp.number, &count)
        return messages.withLock { messages in
            let taken = messages
            messages = []
            return taken
        }
    }
}

/// The loop's end of a mailbox.
private final class MailboxReader<Message: Sendable>: EventHandler {
    private let mailbox: Mailbox<Message>
    private let receive: (Message) -> Void

    init(_ mailbox: Mailbox<Message>, _ receive: @escaping (Message) -> Void) {
        self.mailbox = mailbox
        self.receive = receive
    }

    func ready(_ events: EventMask) {
        for message in mailbox.takeAll() { receive(message) }
    }
}

extension EventLoop {
    /// Opens a mailbox for as long as the loop lives; `receive` is called on the loop's thread with each message.
    ///
    /// - Parameter capacity: Messages that may wait; more are refused to who posts them.
    public func openMailbox<Message: Sendable>(
        of type: Message.Type = Message.self, capacity: Int = 65_536, _ receive: @escaping (Message) -> Void
    ) throws(SystemError) -> Mailbox<Message> {
        let mailbox = try Mailbox<Message>(capacity: capacity)
        _ = try register(mailbox.wakeUp.number, for: .input, MailboxReader(mailbox, receive))
        return mailbox
    }
}
