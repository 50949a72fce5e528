;;; ullage-chat.el --- A conversation in a buffer  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; What was said, and below it room for what is to be said next.  An answer
;; comes in above that room while the person may type on.

;;; Code:

(require 'subr-x)
(require 'ullage-connection)

(declare-function ullage--about "ullage")
(declare-function ullage--with-id "ullage")
(defvar ullage--context)
(defvar ullage--statuses)

(defconst ullage--shown 100
  "Messages that are shown.")

(defconst ullage--headings
  '(("user" . "You") ("assistant" . "Answer") ("system" . "System") ("tool" . "Tool"))
  "Headings of messages, by role.")

(defconst ullage--endings
  '(("cancelled" . "stopped") ("length" . "cut at its greatest length")
    ("toolCalls" . "asks for a tool"))
  "Why an answer ended, where that is worth telling.")

(defface ullage-heading '((t :inherit bold))
  "Who says what follows."
  :group 'ullage)

(defvar-local ullage--end nil
  "Where what was said ends.")

(defvar-local ullage--input nil
  "Where what is to be said begins.")

(defvar-local ullage--answering nil
  "The answer that is on its way: its :token, :heading, :start and :question.")

(defvar ullage--asked 0
  "How many questions were asked.")

(defvar ullage-chat-mode-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "C-c C-c") #'ullage-chat-send)
    (define-key map (kbd "C-c C-k") #'ullage-chat-stop)
    map)
  "Keys of `ullage-chat-mode'.")

(define-derived-mode ullage-chat-mode text-mode "Chat"
  "A conversation: type below the last heading, \\[ullage-chat-send] sends.
\\[ullage-chat-stop] stops an answer.  Sending nothing asks again for an answer
that is missing.

\\{ullage-chat-mode-map}"
  (buffer-disable-undo)
  (visual-line-mode))

(defun ullage--locked (text)
  "TEXT that can't be changed by typing."
  (propertize text 'read-only t 'front-sticky t 'rear-nonsticky t))

(defun ullage--add-text (text)
  "Add TEXT to the end of what was said."
  (let ((inhibit-read-only t))
    (save-excursion
      (goto-char ullage--end)
      (insert (ullage--locked text))
      (set-marker ullage--end (point)))))

(defun ullage--heading (role &optional remark)
  "The heading of ROLE, and behind it REMARK."
  (concat (propertize (cdr (assoc role ullage--headings)) 'face 'ullage-heading)
          (if remark (propertize (concat "  " remark) 'face 'shadow) "")
          "\n\n"))

(defun ullage--message-text (message)
  "The text of MESSAGE, and the tools that it asks for."
  (string-trim
   (concat (plist-get message :content)
           (mapconcat (lambda (call)
                        (format "\n%s(%s)" (plist-get call :name)
                                (plist-get call :arguments)))
                      (plist-get message :toolCalls) ""))))

(defun ullage--typed ()
  "What the person has typed so far."
  (string-trim (buffer-substring-no-properties (or ullage--input (point-min))
                                               (point-max))))

(defun ullage--waits (page)
  "The newest message of PAGE, where that is not answered yet."
  (let ((newest (car (last (append (plist-get page :messages) nil)))))
    (and (member (plist-get newest :role) '("user" "tool"))
         newest)))

(defun ullage--unsent (page question)
  "QUESTION, but nil where it is what PAGE ends with."
  (unless (equal question
                 (string-trim (or (plist-get (ullage--waits page) :content) "")))
    question))

(defun ullage--lay-out (page unsent)
  "Show the messages of PAGE, and below them UNSENT and what was typed."
  (let* ((inhibit-read-only t)
         (typed (ullage--typed)))
    (erase-buffer)
    (setq ullage--end (copy-marker (point-min)))
    (when (eq (plist-get page :hasMore) t)
      (ullage--add-text "Older messages are in M-x ullage-command RET export.\n\n"))
    (dolist (message (append (plist-get page :messages) nil))
      (ullage--add-text (ullage--heading (plist-get message :role)))
      (ullage--add-text (concat (ullage--message-text message) "\n\n")))
    (goto-char (point-max))
    (insert (ullage--locked
             (ullage--heading "user" (and (ullage--waits page) "the last message is not answered yet; sending nothing asks again"))))
    (setq ullage--input (copy-marker (point)))
    (insert (string-trim (concat unsent "\n" typed)))
    (dolist (window (get-buffer-window-list nil nil t))
      (set-window-point window (point-max)))))

(defun ullage--load (buffer question &optional ask)
  "Show in BUFFER what the server has kept, and below it what was typed.
QUESTION may be unsent: it is left to ASK, else put before what was typed."
  (let* ((answering (buffer-local-value 'ullage--answering buffer))
         (done
          (lambda (page failure)
            (when failure
              (ullage--failed failure))
            (when (buffer-live-p buffer)
              (with-current-buffer buffer
                (if (eq answering ullage--answering)
                    (progn
                      (setq ullage--answering nil)
                      (ullage--take page (ullage--unsent page question) ask))
                  ;; Something was asked since, and its answer is to come.
                  (ullage--put-back question)))))))
    (condition-case problem
        (ullage--request
         :context/messages
         (list :contextId (buffer-local-value 'ullage--context buffer)
               :view "history" :limit ullage--shown)
         done)
      (error (funcall done nil (list :message (error-message-string problem)))))))

(defun ullage--take (page unsent ask)
  "Show PAGE, nil where it could not be had, and call ASK with UNSENT."
  (let ((asks (and page ask)))
    (if (or page (not ullage--input))
        (ullage--lay-out page (unless asks unsent))
      (ullage--put-back unsent))
    (when asks
      (funcall ask (or unsent "")))))

(defun ullage--put-back (question)
  "Put QUESTION, nil where there is none, before what was typed."
  (unless (string-empty-p (or question ""))
    (save-excursion
      (goto-char ullage--input)
      (insert question (if (eobp) "" "\n")))))

(defun ullage-chat-send ()
  "Say what was typed; where that is nothing, ask again for a missing answer."
  (interactive nil ullage-chat-mode)
  (when ullage--answering
    (user-error "An answer is on its way; %s stops it"
                (substitute-command-keys "\\[ullage-chat-stop]")))
  (unless ullage--input
    (user-error "The conversation is still being loaded"))
  (ullage--connect)                     ; nothing is moved where that fails
  (let ((question (ullage--typed)))
    (delete-region ullage--input (point-max))
    (ullage--ask question)))

(defun ullage--ask (question)
  "Say QUESTION in the present buffer, or nothing where it is empty."
  (let ((token (format "ullage-chat-%d" (setq ullage--asked (1+ ullage--asked))))
        (said (unless (string-empty-p question) (list :text question))))
    (when said
      (ullage--add-text (concat (ullage--heading "user") question "\n\n")))
    (ullage--expect token question)
    (ullage--about ullage--context :context/chat
                   (append (list :contextId ullage--context
                                 :partialResultToken token)
                           said)
                   (ullage--finisher (current-buffer) token))))

(defun ullage--expect (token question)
  "Make room for the answer to QUESTION, whose parts come with TOKEN."
  (let ((buffer (current-buffer))
        (heading (copy-marker ullage--end)))
    (ullage--add-text (concat (ullage--heading "assistant" "C-c C-k stops it")
                              "\n\n"))
    (set-marker ullage--end (- ullage--end 2)) ; parts come before the blank
    (setq ullage--answering
          (list :token token :question question :heading heading
                :start (copy-marker ullage--end)))
    (puthash token
             (lambda (value)
               (when-let ((delta (and (buffer-live-p buffer)
                                      (plist-get value :delta))))
                 (with-current-buffer buffer
                   (ullage--add-text delta))))
             ullage--listeners)))

(defun ullage--finisher (buffer token)
  "A function that takes the end of the answer with TOKEN into BUFFER."
  (lambda (result failure)
    (remhash token ullage--listeners)
    (remhash token ullage--sent)
    (when (buffer-live-p buffer)
      (with-current-buffer buffer
        (if failure
            (ullage--fail failure)
          (ullage--finish result))))))

(defun ullage--fail (failure)
  "Show FAILURE and what the server has kept; a server that is left is not asked."
  (let ((question (plist-get ullage--answering :question)))
    (ullage--failed failure)
    (if (not ullage--over)
        (ullage--load (current-buffer) question)
      (setq ullage--answering nil)
      (ullage--put-back question))))

(defun ullage--finish (result)
  "Put the whole answer of RESULT in the place of its parts."
  (let ((inhibit-read-only t)
        (heading (plist-get ullage--answering :heading)))
    (delete-region heading (+ ullage--end 2))
    (ullage--add-text
     (concat (ullage--heading "assistant"
                              (cdr (assoc (plist-get result :stopReason)
                                          ullage--endings)))
             (ullage--message-text (plist-get result :message))
             "\n\n"))
    (setq ullage--answering nil)))

(defun ullage-chat-stop ()
  "Stop the answer that is on its way; what has come is kept."
  (interactive nil ullage-chat-mode)
  (if ullage--answering
      (ullage--cancel (plist-get ullage--answering :token))
    (user-error "No answer is on its way")))

(defun ullage--chat-buffer (id)
  "The buffer of the context ID, made where there is none."
  (or (seq-find (lambda (buffer)
                  (and (eq (buffer-local-value 'major-mode buffer) 'ullage-chat-mode)
                       (equal (buffer-local-value 'ullage--context buffer) id)))
                (buffer-list))
      (let* ((context (plist-get (gethash id ullage--statuses) :context))
             (folder (file-name-nondirectory
                      (string-remove-suffix
                       "/" (ullage--file (or (plist-get context :workspaceUri) "")))))
             (name (format "*ullage: %s/%s*" folder
                           (or (plist-get context :name) (substring id -6)))))
        (with-current-buffer (generate-new-buffer name)
          (ullage-chat-mode)
          (setq ullage--context id)
          (current-buffer)))))

;;;###autoload
(defun ullage-chat (&optional question)
  "Open the conversation of the present buffer's project, and ask QUESTION."
  (interactive)
  (ullage--with-id
   (lambda (id)
     (let ((buffer (ullage--chat-buffer id)))
       (pop-to-buffer buffer)
       (if ullage--answering
           (ullage--put-back question)
         (ullage--load buffer question (and question #'ullage--ask)))))))

(provide 'ullage-chat)
;;; ullage-chat.el ends here
