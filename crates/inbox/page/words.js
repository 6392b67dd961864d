/* What the page says, in each language it speaks: the same names in both, {so} for what is filled in. */
window.oneknockTexts = {
  "zh-CN": {
    title: "一户一访", text_size: "字号", demonstration: "演示 · 数据均为虚构", sign_in: "登录", token: "登录口令",
    sign_in_help: "请打开发给您的登录链接，或在下面粘贴登录口令。", sign_in_failed: "口令无效，请核对后重试。", sign_in_role: "该口令不能用于收件箱。",
    sign_in_later: "暂时无法登录，请稍后再试。", signed_out: "登录已失效，请重新登录。未发送的记录仍保存在本机。",
    tasks: "任务", which_tasks: "显示哪些任务", to_do: "待办", done: "已完成", sign_out: "退出登录",
    sign_out_unsent: "还有记录未发送，请联网后再退出。",
    empty_open: "暂无待办", empty_open_help: "有新的到访任务会自动出现在这里。", empty_done: "暂无已完成的任务", loading: "正在加载…",
    offline: "离线 · 您的操作会保存在本机，联网后自动发送", reconnecting: "正在重新连接…", unsent: "{n} 条记录待发送",
    high: "紧急", medium: "较急", low: "一般", no_address: "地址不详", signals: "{n} 条线索", due_in: "{t}内完成", overdue: "已超时 {t}", due_at: "{t} 前完成",
    minutes: "{n} 分钟", hours: "{n} 小时", days: "{n} 天",
    OPEN: "待处理", CLAIMED: "处理中", DONE: "已完成", WITHDRAWN: "已撤回", EXPIRED: "已过期",
    mine: "我在处理", by: "{name} 在处理", waiting_to_send: "待发送", triage: "待分派", attempts: "已上门 {n} 次", supervisor_list: "已转主管",
    back: "返回列表", contact: "联系人", call: "拨打 {phone}", due: "期限", state: "状态", outcome: "结果", opened: "创建", covered: "有效至",
    evidence: "线索", checkpoint: "检查站", highway: "高速入口", telecom: "通信", from_division: "来自 {d}", joined: "{n} 条后续线索已合并，无需再次上门",
    outcomes: "上门结果（点一下即记录）", screened: "已完成核查", not_home: "无人在家", moved_away: "已搬走", wrong_household: "不是这一户", refused: "拒绝配合", needs_help: "需要帮助",
    claim: "我来处理", release: "放回列表", hand_back: "不属于我的网格，退回", to_grid: "转给哪个网格（不填由主管分派）", unknown_grid: "由主管分派", note: "备注", note_help: "写给同事的话", save: "保存备注",
    last_note: "最近备注", more: "其他操作", undo: "撤销", recorded: "已记录：{what}", dismiss: "知道了",
    conflict: "“{what}”未生效：已有他人处理，或当前状态不允许。", refused_field: "“{what}”未被接受（{field}）。", gone_action: "“{what}”未被接受：任务已不在您名下。",
    gone: "此任务已不在您名下。", at_most: "操作失败，请稍后再试。", other_language: "English", worker: "网格员", supervisor: "主管"
  },
  en: {
    title: "OneKnock", text_size: "Text size", demonstration: "Demonstration · made-up data", sign_in: "Sign in", token: "Sign-in token",
    sign_in_help: "Open the sign-in link that you were given, or paste your token here.", sign_in_failed: "This token is not valid. Please check it.", sign_in_role: "This token is not for the inbox.",
    sign_in_later: "Signing in is not possible just now. Please try again.", signed_out: "Please sign in again. What has not been sent is kept on this phone.",
    tasks: "Tasks", which_tasks: "Which tasks are shown", to_do: "To do", done: "Done", sign_out: "Sign out",
    sign_out_unsent: "Some records have not been sent yet. Please go online first.",
    empty_open: "Nothing to do", empty_open_help: "New visits will appear here by themselves.", empty_done: "Nothing done yet", loading: "Loading…",
    offline: "Offline · what you do is kept on this phone and sent later", reconnecting: "Reconnecting…", unsent: "{n} not sent yet",
    high: "Urgent", medium: "Soon", low: "Normal", no_address: "Address not known", signals: "signals: {n}", due_in: "due in {t}", overdue: "overdue by {t}", due_at: "due {t}",
    minutes: "{n} min", hours: "{n} h", days: "{n} days",
    OPEN: "Open", CLAIMED: "In hand", DONE: "Done", WITHDRAWN: "Withdrawn", EXPIRED: "Expired",
    mine: "I am on it", by: "{name} is on it", waiting_to_send: "not sent yet", triage: "to be assigned", attempts: "attempts: {n}", supervisor_list: "with the supervisor",
    back: "Back to the list", contact: "Contact", call: "Call {phone}", due: "Due", state: "State", outcome: "Outcome", opened: "Opened", covered: "Covers until",
    evidence: "Signals", checkpoint: "Checkpoint", highway: "Highway entrance", telecom: "Telecom", from_division: "from {d}", joined: "Signals that joined this visit without a second knock: {n}",
    outcomes: "At the door (one tap records it)", screened: "Screened", not_home: "Nobody home", moved_away: "Moved away", wrong_household: "Wrong household", refused: "Refused", needs_help: "Needs help",
    claim: "I take this", release: "Put back on the list", hand_back: "Not my grid: hand back", to_grid: "To which grid (empty: the supervisor decides)", unknown_grid: "The supervisor decides", note: "Note", note_help: "For your colleagues", save: "Save note",
    last_note: "Latest note", more: "More", undo: "Undo", recorded: "Recorded: {what}", dismiss: "OK",
    conflict: "“{what}” did not count: somebody was first, or it is not allowed now.", refused_field: "“{what}” was not taken ({field}).", gone_action: "“{what}” was not taken: the task is no longer yours.",
    gone: "This task is no longer yours.", at_most: "That did not work. Please try again.", other_language: "中文", worker: "worker", supervisor: "supervisor"
  }
};
